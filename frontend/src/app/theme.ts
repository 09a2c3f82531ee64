import { createTheme, type MantineColorsTuple } from "@mantine/core";

/**
 * The only accent colour, which also slightly tints the neutral colours. Every other strong colour carries
 * meaning.
 */
const petrol: MantineColorsTuple = [
  "#e9f5f5",
  "#d3e8e8",
  "#a8d2d2",
  "#79bbbb",
  "#4fa6a7",
  "#2f9293",
  "#157f82",
  "#0b6a6f",
  "#08565b",
  "#064348",
];
const neutral: MantineColorsTuple = [
  "#f6f8f8",
  "#eef1f1",
  "#e0e5e5",
  "#cdd5d5",
  "#aeb9ba",
  "#8a9799",
  "#647275",
  "#4a575a",
  "#323d40",
  "#1a2325",
];
const night: MantineColorsTuple = [
  "#dfe6e6",
  "#b9c4c5",
  "#93a2a4",
  "#6b7a7d",
  "#3c494c",
  "#2c373a",
  "#1f2829",
  "#182021",
  "#111718",
  "#0c1112",
];

export const theme = createTheme({
  primaryColor: "petrol",
  primaryShade: { light: 7, dark: 6 },
  colors: { petrol, gray: neutral, dark: night },
  fontFamily: "var(--font-text)",
  fontFamilyMonospace: "var(--font-mono)",
  headings: { fontFamily: "var(--font-text)", fontWeight: "600" },
  fontSizes: { xs: "0.75rem", sm: "0.8125rem", md: "0.875rem", lg: "1rem", xl: "1.25rem" },
  defaultRadius: "sm",
  radius: { sm: "5px", md: "8px" },
  cursorType: "pointer",
  focusRing: "auto",
  respectReducedMotion: true,
  components: {
    Button: { defaultProps: { size: "sm" } },
    TextInput: { defaultProps: { size: "sm" } },
    NumberInput: { defaultProps: { size: "sm" } },
    Textarea: { defaultProps: { size: "sm" } },
    NativeSelect: { defaultProps: { size: "sm" } },
    InputWrapper: {
      // Help texts are placed below their fields, so that the fields of a row stay aligned.
      defaultProps: { inputWrapperOrder: ["label", "input", "error", "description"] },
      styles: {
        description: { fontSize: "12px", lineHeight: 1.4, marginTop: 4 },
        label: { marginBottom: 4 },
      },
    },
  },
});
