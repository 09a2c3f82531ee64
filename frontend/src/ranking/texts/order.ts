import { catalog } from "@/shared/i18n";
import { en } from "./order.en";

export const useOrderTexts = catalog(en, { de: () => import("./order.de") });
