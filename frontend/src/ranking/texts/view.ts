import { catalog } from "@/shared/i18n";
import { en } from "./view.en";

export const useViewTexts = catalog(en, { de: () => import("./view.de") });
