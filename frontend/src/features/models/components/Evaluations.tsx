import { Link } from "@tanstack/react-router";
import type { JudgedPolicy, Model } from "@/api/types";
import { Badge, type Tone } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { placed, type Span } from "../interval";
import { useTexts } from "../texts";
import styles from "./models.module.css";

const TONES: Record<NonNullable<JudgedPolicy["gain"]>["verdict"], Tone> = {
  better: "good",
  worse: "bad",
  unclear: "neutral",
};

const signed = (value: number) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

/**
 * The confidence interval of a gain, drawn on a scale that includes 0. The text next to the drawing contains
 * the same numbers.
 */
function Interval({ span, scale }: { span: Span; scale: { low: number; high: number } }) {
  const { low, high, middle, zero } = placed(span, scale);
  const at = (share: number) => `${(share * 100).toFixed(1)}%`;
  return (
    <svg className={styles.interval} viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">
      <line x1={at(zero)} x2={at(zero)} y1="0" y2="12" className={styles.zero} />
      <line x1={at(low)} x2={at(high)} y1="6" y2="6" className={styles.whisker} />
      <line x1={at(middle)} x2={at(middle)} y1="2" y2="10" className={styles.whisker} />
    </svg>
  );
}

/** A policy's evaluations, each with the gain over the parent policy. */
export function Evaluations({
  model,
  judged,
  slug,
  scale,
}: {
  model: Model;
  judged: readonly JudgedPolicy[];
  slug: string;
  scale: { low: number; high: number };
}) {
  const texts = useTexts();
  return (
    <ul className={styles.judged}>
      {judged.map(({ evaluation, gain }) => (
        <li key={evaluation.run}>
          <Link to="/projects/$slug/runs/$runId" params={{ slug, runId: evaluation.run }}>
            {texts.judged(evaluation.judge)}
          </Link>
          <span className={styles.figure}>
            <b>{evaluation.mean.toFixed(2)}</b>{" "}
            <span className={ui.dim}>
              {texts.mean(evaluation.low.toFixed(2), evaluation.high.toFixed(2), evaluation.prompts)}
            </span>
          </span>
          {gain ? (
            <>
              <Interval span={{ low: gain.low, middle: gain.difference, high: gain.high }} scale={scale} />
              <span className={styles.figure}>
                {texts.over} {texts.gain(signed(gain.difference), signed(gain.low), signed(gain.high))}
              </span>
              <Badge tone={TONES[gain.verdict]}>{texts.verdicts[gain.verdict]}</Badge>
            </>
          ) : (
            model.parent && <span className={ui.dim}>{texts.noGain(model.parent.name)}</span>
          )}
        </li>
      ))}
    </ul>
  );
}
