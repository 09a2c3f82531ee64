import { catalog } from "@/shared/i18n";
import { en } from "./parts.en";

export const usePartTexts = catalog(en, { de: () => import("./parts.de") });
