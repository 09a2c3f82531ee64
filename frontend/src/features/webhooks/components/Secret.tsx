import { CopyLine, Notice } from "@/shared/ui";
import { useTexts } from "../texts";

/** The signing secret of a webhook, shown once. */
export function Secret({ secret }: { secret: string }) {
  const t = useTexts();
  return (
    <Notice tone="good" title={t.secretTitle}>
      <p>{t.secretText}</p>
      <CopyLine text={secret} label={t.copySecret} />
    </Notice>
  );
}
