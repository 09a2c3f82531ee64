import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import type { Run } from "@/api/types";
import { Panel, ProblemNotice } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { isLive, logQuery } from "../api/runs";
import { useTexts } from "../texts";
import styles from "./run.module.css";

// biome-ignore lint/suspicious/noControlCharactersInRegex: libraries print colour codes
const ANSI_COLOURS = /\u001b\[[0-9;]*m/g;

export function useLog(run: Run) {
  const log = useQuery(logQuery(run.id, isLive(run)));
  return { log, lines: (log.data?.lines ?? []).map((line) => line.replaceAll(ANSI_COLOURS, "")) };
}

export function Log({ run }: { run: Run }) {
  const texts = useTexts().run;
  const { log, lines } = useLog(run);
  const box = useRef<HTMLElement>(null);
  const follows = useRef(true);
  const lastLine = lines.at(-1);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new last line scrolls the view
  useEffect(() => {
    if (follows.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lastLine, lines.length]);
  return (
    <Panel title={texts.log} aside={<span className={ui.dim}>{texts.lastLines}</span>} flush>
      {log.isError ? (
        <div style={{ padding: 12 }}>
          <ProblemNotice error={log.error} />
        </div>
      ) : (
        <section
          ref={box}
          className={styles.log}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
          tabIndex={0}
          aria-label={texts.logOf}
          onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
            // If the user scrolls up, the view stops following the log until the user returns to the end.
            follows.current = scrollHeight - scrollTop - clientHeight < 24;
          }}
        >
          <pre>{lines.length ? lines.join("\n") : texts.nothingYet}</pre>
        </section>
      )}
    </Panel>
  );
}
