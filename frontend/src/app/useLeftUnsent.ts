import { useEffect } from "react";
import { anyUnsent } from "@/features/desk/outbox/store";

/**
 * Lets any page send the answers that an earlier page could not send. The outbox is loaded only if there are unsent
 * answers.
 */
export function useLeftUnsent(user: string | undefined): void {
  useEffect(() => {
    if (!user || !anyUnsent()) return;
    void import("@/features/desk/outbox/useOutbox").then(
      ({ outboxOf }) => outboxOf(user).kick(),
      // The answers stay in the browser, and the next page tries to send them again.
      () => undefined,
    );
  }, [user]);
}
