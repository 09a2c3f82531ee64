import { useEffect } from "react";
import { anyUnsent } from "@/features/desk/outbox/store";

/** Answers that an earlier page could not send go out from whichever is open; only then is that part of the desk loaded. */
export function useLeftUnsent(user: string | undefined): void {
  useEffect(() => {
    if (!user || !anyUnsent()) return;
    void import("@/features/desk/outbox/useOutbox").then(
      ({ outboxOf }) => outboxOf(user).kick(),
      // They stay where they are; the next page tries again.
      () => undefined,
    );
  }, [user]);
}
