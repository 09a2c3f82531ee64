import { catalog } from "@/shared/i18n";
import { en } from "./desk.en";

export const useDeskTexts = catalog(en, { de: () => import("./desk.de") });
