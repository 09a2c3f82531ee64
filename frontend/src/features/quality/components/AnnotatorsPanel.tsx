import { useQuery } from "@tanstack/react-query";
import type { AnnotatorQuality, Estimate, Quality } from "@/api/types";
import { count, duration, percent, plural } from "@/shared/format";
import { Badge, Loading, Panel, ProblemNotice, Stats, TableScroll } from "@/shared/ui";
import ui from "@/shared/ui.module.css";
import { qualityQuery } from "../api/quality";

/** Below this, somebody agrees less with the others than chance allows; of all projects, one in 100 has a false alarm. */
const OUTLIER_P = 0.01;

function decimals(value: number): string {
  return value.toFixed(2);
}

/** "0.71 (0.66 to 0.75)"; a dash where there is nothing to estimate from. */
function interval(estimate: Estimate, show: (value: number) => string): string {
  if (estimate.value === null) return "–";
  if (estimate.low === null || estimate.high === null) return show(estimate.value);
  return `${show(estimate.value)} (${show(estimate.low)} to ${show(estimate.high)})`;
}

/** A share with its interval as the tooltip, marked where even its interval leaves ½ out. */
function Leaning({ share, of }: { share: Estimate; of: string }) {
  if (share.value === null) return <>–</>;
  const leans = share.low !== null && share.high !== null && (share.low > 0.5 || share.high < 0.5);
  return (
    <span title={`${of}: ${interval(share, percent)}`}>
      {percent(share.value)}
      {leans && (
        <>
          {" "}
          <Badge tone="warn">leans</Badge>
        </>
      )}
    </span>
  );
}

function Agreement({ quality }: { quality: Quality }) {
  const shown: { label: string; estimate: Estimate; show: (value: number) => string }[] = [
    { label: "say the same of a pair", estimate: quality.agreement, show: percent },
    { label: "Krippendorff’s α", estimate: quality.alpha_nominal, show: decimals },
    { label: "Kendall’s τ-b", estimate: quality.tau_b, show: decimals },
  ];
  const bias = [
    { label: "first shown wins", estimate: quality.first_shown_wins },
    { label: "longer one wins", estimate: quality.longer_wins },
  ];
  return (
    <Stats
      items={[...shown, ...bias.map((item) => ({ ...item, show: percent }))]
        .filter(({ estimate }) => estimate.value !== null)
        .map(({ label, estimate, show }) => ({
          label,
          value: interval(estimate, show),
        }))}
    />
  );
}

function Row({ person }: { person: AnnotatorQuality }) {
  const outlier = person.outlier_p_adjusted !== null && person.outlier_p_adjusted < OUTLIER_P;
  return (
    <tr>
      <td>
        {person.username}
        {outlier && (
          <>
            {" "}
            <Badge tone="bad">unlike the others</Badge>
          </>
        )}
      </td>
      <td className={ui.number}>{count(person.rankings)}</td>
      <td className={ui.number}>{person.median_seconds === null ? "–" : duration(person.median_seconds)}</td>
      <td className={ui.number} title={plural(person.n_pairs, "shared pair")}>
        {person.agreement === null ? "–" : percent(person.agreement)}
      </td>
      <td className={ui.number} title={interval(person.reliability, percent)}>
        {person.reliability.value === null ? "–" : percent(person.reliability.value)}
      </td>
      <td
        className={ui.number}
        title={plural(
          person.n_gold,
          "answer to a task whose answer is known",
          "answers to tasks whose answer is known",
        )}
      >
        {person.gold_accuracy.value === null ? "–" : percent(person.gold_accuracy.value)}
      </td>
      <td className={ui.number}>
        <Leaning share={person.first_shown_wins} of="Pairs won by the response shown first" />
      </td>
      <td className={ui.number}>
        <Leaning share={person.longer_wins} of="Pairs won by the longer response" />
      </td>
      <td
        className={ui.number}
        title={
          person.as_shown_by_chance === null ? undefined : `${percent(person.as_shown_by_chance)} by chance`
        }
      >
        {person.as_shown === null ? "–" : percent(person.as_shown)}
      </td>
    </tr>
  );
}

export function AnnotatorsPanel({ slug }: { slug: string }) {
  const { data: quality, error, isPending } = useQuery(qualityQuery(slug));
  if (error) return <ProblemNotice error={error} />;
  if (isPending) return <Loading label="Computing agreement" />;
  if (quality.annotators.length === 0) return null;
  return (
    <>
      <Agreement quality={quality} />
      <Panel
        title="Annotators"
        flush
        aside={
          quality.pairwise_agreement !== null && (
            <span className={ui.dim}>
              agree on {percent(quality.pairwise_agreement)} of {plural(quality.n_pairs, "shared pair")}
            </span>
          )
        }
      >
        <TableScroll label="Annotators, table">
          <thead>
            <tr>
              <th>Annotator</th>
              <th className={ui.number}>Rankings</th>
              <th className={ui.number}>Median time</th>
              <th className={ui.number} title="How often others said the same of a pair">
                Agreement
              </th>
              <th
                className={ui.number}
                title="Chance that a verdict is right, judged from all who shared the pair"
              >
                Reliability
              </th>
              <th className={ui.number} title="Pairs of known answers in the right order">
                Gold
              </th>
              <th className={ui.number} title="Pairs won by the response shown first; half is no bias">
                First shown
              </th>
              <th className={ui.number} title="Pairs won by the longer response">
                Longer
              </th>
              <th className={ui.number} title="Rankings that are exactly the order shown">
                As shown
              </th>
            </tr>
          </thead>
          <tbody>
            {quality.annotators.map((person) => (
              <Row key={person.username} person={person} />
            ))}
          </tbody>
        </TableScroll>
      </Panel>
    </>
  );
}
