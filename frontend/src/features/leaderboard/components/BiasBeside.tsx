import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { qualityQuery } from "@/features/quality/api/quality";
import { BiasFigures } from "@/features/quality/components/BiasFigures";
import { Panel } from "@/shared/ui";
import { useTexts } from "../texts";

/** Position and length bias belong beside a board: a narrow lead may be nothing else. */
export function BiasBeside({ slug }: { slug: string }) {
  const { bias: texts } = useTexts();
  const { data: quality } = useQuery(qualityQuery(slug));
  if (!quality || (quality.first_shown_wins.value === null && quality.longer_wins.value === null))
    return null;
  return (
    <Panel
      title={texts.title}
      aside={
        <Link to="/projects/$slug/quality" params={{ slug }}>
          {texts.more}
        </Link>
      }
    >
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
