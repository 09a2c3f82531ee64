import type { Estimate, Quality } from "@/api/types";
import { percent } from "@/shared/format";
import { Panel } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { decimals, interval, readAlpha } from "../reading";
import { useTexts } from "../texts";
import { BiasFigures } from "./BiasFigures";
import { Drawn } from "./Drawn";
import styles from "./quality.module.css";

type Figure = {
  label: string;
  meaning: string;
  estimate: Estimate;
  show: (value: number) => string;
  /** The lower end of the scale; the upper end is 1. */
  from: number;
  alpha?: boolean;
};

function figuresOf(quality: Quality, texts: ReturnType<typeof useTexts>["agreement"]): Figure[] {
  const alpha = { show: decimals, from: -1, alpha: true };
  return [
    { label: texts.pairs, meaning: texts.pairsMeaning, estimate: quality.agreement, show: percent, from: 0 },
    { label: texts.nominal, meaning: texts.nominalMeaning, estimate: quality.alpha_nominal, ...alpha },
    { label: texts.ordinal, meaning: texts.ordinalMeaning, estimate: quality.alpha_ordinal, ...alpha },
    ...quality.ratings.flatMap((of) => [
      {
        label: texts.ratingOrdinal(of.scale),
        meaning: texts.ratingMeaning(of.n_units),
        estimate: of.alpha_ordinal,
        ...alpha,
      },
      {
        label: texts.ratingInterval(of.scale),
        meaning: texts.ratingMeaning(of.n_units),
        estimate: of.alpha_interval,
        ...alpha,
      },
    ]),
    { label: texts.tau, meaning: texts.tauMeaning, estimate: quality.tau_b, show: decimals, from: -1 },
    { label: texts.w, meaning: texts.wMeaning, estimate: quality.kendall_w, show: decimals, from: 0 },
  ].filter(({ estimate }) => estimate.value !== null);
}

export function AgreementPanel({ quality }: { quality: Quality }) {
  const t = useTexts();
  return (
    <Panel
      title={t.agreement.title}
      aside={<span className={ui.dim}>{t.agreement.shared(quality.n_shared_tasks, quality.n_pairs)}</span>}
    >
      <dl className={styles.figures}>
        {figuresOf(quality, t.agreement).map(({ label, meaning, estimate, show, from, alpha }) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>
              <span className={styles.value}>{interval(estimate, show)}</span>
              <Drawn estimate={estimate} from={from} />
              <p className={ui.dim}>
                {meaning}
                {alpha && <> {t.readings[readAlpha(estimate)]}</>}
              </p>
            </dd>
          </div>
        ))}
      </dl>
      <p className={`${ui.dim} ${styles.note}`}>{t.agreement.intervalMeaning}</p>
    </Panel>
  );
}

export function BiasPanel({ quality }: { quality: Quality }) {
  const { bias: texts } = useTexts();
  if (quality.first_shown_wins.value === null && quality.longer_wins.value === null) return null;
  return (
    <Panel title={texts.title}>
      <BiasFigures
        biases={[
          { label: texts.first, meaning: texts.firstMeaning, estimate: quality.first_shown_wins },
          { label: texts.longer, meaning: texts.longerMeaning, estimate: quality.longer_wins },
        ]}
        even={texts.even}
        leaning={texts.leans}
      />
    </Panel>
  );
}
