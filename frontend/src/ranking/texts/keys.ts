import { catalog } from "@/shared/i18n";
import { en } from "./keys.en";

export const useKeyTexts = catalog(en, { de: () => import("./keys.de") });
