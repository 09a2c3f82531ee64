import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Panel } from "@/shared/ui";
import { qualityQuery } from "../api/quality";
import { useTexts } from "../texts";
import { BiasFigures } from "./BiasFigures";

/** Position and length bias, shown with a leaderboard because these biases can explain a narrow lead. */
export function BoardBias({ slug }: { slug: string }) {
  const { boardBias: texts } = useTexts();
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
