import { catalog } from "@/shared/i18n";
import { en } from "./home.en";

export const useHomeTexts = catalog(en, { de: () => import("./home.de") });
