import { catalog } from "@/shared/i18n";
import { en } from "./answer.en";

export const useAnswerTexts = catalog(en, { de: () => import("./answer.de") });
