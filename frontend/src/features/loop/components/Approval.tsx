import { Button, Textarea } from "@mantine/core";
import { useMutation, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Gate, RoundDetail } from "@/api/types";
import { may, meQuery } from "@/shared/session";
import { Notice, ProblemNotice } from "@/shared/ui";
import { Dialog } from "@/shared/ui/Dialog";
import ui from "@/shared/ui/ui.module.css";
import { approveGate, rejectGate } from "../api/loops";
import { useTexts } from "../texts";

/** The approval that a policy needs after it has passed its gate. Only admins see the buttons. */
export function Approval({ gate }: { gate: Gate }) {
  const { data: me } = useSuspenseQuery(meQuery);
  const { approval: texts } = useTexts();
  const queryClient = useQueryClient();
  const [rejects, setRejects] = useState(false);
  const [reason, setReason] = useState("");
  const onSuccess = async (round: RoundDetail) => {
    setRejects(false);
    queryClient.setQueryData(["round", round.id], round);
    await queryClient.invalidateQueries({ queryKey: ["rounds"] });
  };
  const approve = useMutation({ mutationFn: () => approveGate(gate.id), onSuccess });
  const reject = useMutation({ mutationFn: () => rejectGate(gate.id, reason), onSuccess });
  return (
    <Notice tone="info" title={texts.waits}>
      <p>{gate.reason}</p>
      {me && may.launchRuns(me) && (
        <div className={ui.actions}>
          <Button loading={approve.isPending} onClick={() => approve.mutate()}>
            {texts.approve(gate.model.name)}
          </Button>
          <Button variant="default" onClick={() => setRejects(true)}>
            {texts.reject}
          </Button>
        </div>
      )}
      {approve.isError && <ProblemNotice error={approve.error} />}
      {rejects && (
        <Dialog
          title={texts.rejectTitle(gate.model.name)}
          onClose={() => setRejects(false)}
          actions={
            <>
              <Button variant="default" onClick={() => setRejects(false)}>
                {texts.keep}
              </Button>
              <Button
                color="red"
                loading={reject.isPending}
                disabled={!reason.trim()}
                onClick={() => reject.mutate()}
              >
                {texts.reject}
              </Button>
            </>
          }
        >
          <Textarea
            label={texts.reason}
            value={reason}
            maxLength={2000}
            onChange={(event) => setReason(event.currentTarget.value)}
          />
          {reject.isError && <ProblemNotice error={reject.error} />}
        </Dialog>
      )}
    </Notice>
  );
}
