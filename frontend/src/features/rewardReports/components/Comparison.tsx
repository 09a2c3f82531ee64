import { NativeSelect } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Model, ModelReport, RewardComparison } from "@/api/types";
import { count, metric, percent } from "@/shared/format";
import { Badge, Loading, Panel, ProblemNotice, TableScroll, type Tone } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { comparisonQuery } from "../api/reports";
import { points, sideOf, signed, withBounds } from "../figures";
import { useTexts } from "../texts";
import { Figures } from "./Figures";

const TONES: Record<ReturnType<typeof sideOf>, Tone> = { above: "good", below: "bad", unclear: "neutral" };
const share = (value: number) => percent(value, 1);
const pValue = (p: number) => (p < 0.001 ? "< 0.001" : p.toFixed(3));

/** The difference in accuracy in each slice that has enough prompts. */
function SlicesCompared({ slices }: { slices: RewardComparison["slices"] }) {
  const { compare: texts, slices: names } = useTexts();
  if (slices.length === 0) return <p className={ui.dim}>{texts.noSlices}</p>;
  return (
    <TableScroll label={texts.slices}>
      <thead>
        <tr>
          <th>{names.slice}</th>
          <th className={ui.number}>{names.pairs}</th>
          <th className={ui.number}>{names.prompts}</th>
          <th className={ui.number}>{texts.difference}</th>
          <th className={ui.number}>{texts.corrected}</th>
        </tr>
      </thead>
      <tbody>
        {slices.map((one) => (
          <tr key={`${one.by} ${one.of}`}>
            <th scope="row">{`${names.by[one.by]}: ${names.of[one.of] ?? one.of}`}</th>
            <td className={ui.number}>{count(one.pairs)}</td>
            <td className={ui.number}>{count(one.prompts)}</td>
            <td className={ui.number}>{withBounds(one.difference, points)}</td>
            <td className={ui.number}>{pValue(one.p_value)}</td>
          </tr>
        ))}
      </tbody>
    </TableScroll>
  );
}

function Compared({ name, found }: { name: string; found: RewardComparison }) {
  const { compare: texts } = useTexts();
  const side = sideOf(found.difference);
  const said = { above: texts.better(name), below: texts.worse(name), unclear: texts.unclear }[side];
  return (
    <>
      <p>
        <Badge tone={TONES[side]}>{said}</Badge>{" "}
        <span className={ui.dim}>{texts.on(found.rankings, found.prompts, found.pairs)}</span>
      </p>
      <Figures
        items={[
          { name: texts.difference, value: withBounds(found.difference, points) },
          {
            name: texts.accuracies,
            value: `${found.first.value === null ? "–" : share(found.first.value)}, ${found.second.value === null ? "–" : share(found.second.value)}`,
            note: texts.onlyNote,
          },
          {
            name: texts.p,
            value: pValue(found.p_value),
            note: texts.pNote,
          },
          {
            name: texts.only,
            value: `${metric(found.only_first)}, ${metric(found.only_second)}`,
            note: texts.onlyNote,
          },
          { name: texts.logLoss, value: withBounds(found.log_loss, signed) },
          { name: texts.ece, value: withBounds(found.ece, signed) },
          {
            name: texts.same,
            value: found.same_verdict.value === null ? "–" : share(found.same_verdict.value),
          },
        ]}
      />
      <SlicesCompared slices={found.slices} />
    </>
  );
}

/**
 * Compares this model with another of the project's reward models. The comparison uses the rankings that were
 * held out from the training of both models.
 */
export function Comparison({ model, others }: { model: Model; others: ModelReport["comparable"] }) {
  const { compare: texts } = useTexts();
  const [other, setOther] = useState(others[0]?.id ?? "");
  const found = useQuery({ ...comparisonQuery(model.id, other), enabled: other !== "" });
  return (
    <Panel title={texts.title} aside={<span className={ui.dim}>{texts.about}</span>}>
      {others.length === 0 ? (
        <p className={ui.dim}>{texts.nothing}</p>
      ) : (
        <div className={ui.stack}>
          <NativeSelect
            label={texts.with}
            value={other}
            onChange={(event) => setOther(event.currentTarget.value)}
            data={others.map(({ id, name }) => ({ value: id, label: name }))}
            w="fit-content"
          />
          {found.isPending && <Loading label={texts.loading} />}
          {found.isError && <ProblemNotice error={found.error} />}
          {found.data && <Compared name={model.name} found={found.data} />}
        </div>
      )}
    </Panel>
  );
}
