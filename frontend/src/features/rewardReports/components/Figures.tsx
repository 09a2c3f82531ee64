import styles from "./report.module.css";

/** Named figures, each with an optional note, such as the value expected by chance. */
export function Figures({ items }: { items: { name: string; value: string; note?: string }[] }) {
  return (
    <dl className={styles.figures}>
      {items.map(({ name, value, note }) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            <b>{value}</b>
            {note && <span>{note}</span>}
          </dd>
        </div>
      ))}
    </dl>
  );
}
