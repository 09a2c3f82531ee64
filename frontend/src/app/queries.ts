import { QueryClient } from "@tanstack/react-query";
import { asProblem } from "@/api/problem";

const MAX_RETRIES = 2;

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 10_000,
      retry: (failures, error) => failures < MAX_RETRIES && asProblem(error).transient,
    },
    mutations: { retry: false },
  },
});
