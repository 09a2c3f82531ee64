import { catalog } from "@/shared/i18n";
import { en } from "./flow.en";

export const useFlowTexts = catalog(en, { de: () => import("./flow.de") });
