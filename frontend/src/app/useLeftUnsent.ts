import { useEffect } from "react";
import { anyUnsent } from "@/features/desk/outbox/store";

/**
 * Sends the answers that an earlier page could not send, from any page. The outbox is loaded only if there are some.
 */
export function useLeftUnsent(user: string | undefined): void {
  useEffect(() => {
    if (!user || !anyUnsent()) return;
    void import("@/features/desk/outbox/useOutbox").then(
      ({ outboxOf }) => outboxOf(user).kick(),
      // They stay in the browser; the next page tries again.
      () => undefined,
    );
  }, [user]);
}
