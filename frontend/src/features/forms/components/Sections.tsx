import { NativeSelect } from "@mantine/core";
import { useEditor } from "../context";
import { useTexts } from "../texts";
import { CheckAt, ListAt, NumberAt, Reasons, Section, SwitchPart, TextAt } from "./fields";
import styles from "./forms.module.css";
import { LevelList, NamedList, NamedRow } from "./lists";

const ORDERS = ["asked", "none", "tied"] as const;

/** All parts of a form definition, in the order in which annotators see them. */
export function Sections() {
  return (
    <>
      <Order />
      <Strength />
      <Ratings />
      <Flags />
      <Questions />
      <Confidence />
      <Outs />
      <Words />
    </>
  );
}

function Order() {
  const t = useTexts().order;
  const { state } = useEditor();
  return (
    <Section title={t.title}>
      <div className={styles.row}>
        <NumberAt path={["responses", "min"]} label={t.min} min={2} max={10} />
        <NumberAt path={["responses", "max"]} label={t.max} min={2} max={10} />
      </div>
      <p className={styles.dim}>{t.span}</p>
      <Reasons path={["responses"]} />
      <CheckAt path={["ties"]} label={t.ties} />
      {state.form.ties && (
        <div className={styles.inside}>
          <TextAt path={["tie_label"]} label={t.tieLabel} />
        </div>
      )}
      <SwitchPart part="top_k" label={t.topK} description={t.topKHelp}>
        <div className={styles.row}>
          <NumberAt path={["top_k", "at_least"]} label={t.atLeast} min={1} max={10} />
          <NumberAt path={["top_k", "at_most"]} label={t.atMost} min={1} max={10} />
        </div>
      </SwitchPart>
    </Section>
  );
}

function Strength() {
  const t = useTexts();
  return (
    <Section title={t.strength.title}>
      <SwitchPart part="strength" label={t.strength.on} description={t.strength.help}>
        <CheckAt path={["strength", "required"]} label={t.required} />
        <LevelList path={["strength", "levels"]} add={t.add.level} />
      </SwitchPart>
    </Section>
  );
}

function Ratings() {
  const t = useTexts();
  return (
    <Section title={t.ratings.title}>
      <ListAt
        path={["ratings"]}
        add={t.add.rating}
        empty={t.ratings.empty}
        row={(path, fresh) => (
          <>
            <NamedRow path={path} fresh={fresh} />
            <div className={styles.row}>
              <NumberAt path={[...path, "min"]} label={t.ratings.min} />
              <NumberAt path={[...path, "max"]} label={t.ratings.max} />
              <div className={styles.aside}>
                <CheckAt path={[...path, "required"]} label={t.required} />
              </div>
            </div>
            <details className={styles.more}>
              <summary>{t.ratings.points}</summary>
              <LevelList path={[...path, "points"]} add={t.add.point} />
            </details>
          </>
        )}
      />
    </Section>
  );
}

function Flags() {
  const t = useTexts();
  return (
    <Section title={t.flags.title}>
      <NamedList path={["flags"]} add={t.add.flag} empty={t.flags.empty} />
    </Section>
  );
}

function Questions() {
  const t = useTexts();
  return (
    <Section title={t.questions.title}>
      <ListAt
        path={["questions"]}
        add={t.add.question}
        empty={t.questions.empty}
        row={(path, fresh) => (
          <>
            <NamedRow path={path} label={t.questions.label} fresh={fresh} />
            <CheckAt path={[...path, "required"]} label={t.required} />
            <fieldset className={styles.choices}>
              <legend>{t.questions.choices}</legend>
              <NamedList path={[...path, "choices"]} add={t.add.choice} />
            </fieldset>
          </>
        )}
      />
    </Section>
  );
}

function Confidence() {
  const t = useTexts();
  return (
    <Section title={t.confidence.title}>
      <SwitchPart part="confidence" label={t.confidence.on}>
        <CheckAt path={["confidence", "required"]} label={t.required} />
        <LevelList path={["confidence", "levels"]} add={t.add.level} />
      </SwitchPart>
    </Section>
  );
}

function Outs() {
  const t = useTexts();
  const { state, dispatch, problemAt } = useEditor();
  return (
    <Section title={t.outs.title}>
      <CheckAt path={["not_rankable"]} label={t.outs.notRankable} description={t.outs.notRankableHelp} />
      <SwitchPart part="all_bad" label={t.outs.allBad}>
        <div className={styles.row}>
          <TextAt path={["all_bad", "label"]} label={t.label} />
          <NativeSelect
            label={t.outs.order}
            data={ORDERS.map((value) => ({ value, label: t.outs.orders[value] }))}
            value={state.form.all_bad?.order ?? "asked"}
            error={problemAt(["all_bad", "order"]) ?? false}
            onChange={(event) =>
              dispatch({ type: "put", path: ["all_bad", "order"], value: event.currentTarget.value })
            }
          />
        </div>
      </SwitchPart>
    </Section>
  );
}

function Words() {
  const t = useTexts();
  return (
    <Section title={t.texts.title}>
      {(["comment", "rewrite"] as const).map((part) => (
        <SwitchPart key={part} part={part} label={t.texts[part]}>
          <TextAt path={[part, "label"]} label={t.label} />
          <CheckAt path={[part, "required"]} label={t.required} />
        </SwitchPart>
      ))}
    </Section>
  );
}
