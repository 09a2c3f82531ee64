import { queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type { LoginProvider, Me } from "@/api/types";

/** Logs in. Returns null if the password is correct but a second-factor code is still required. */
export async function logIn(username: string, password: string): Promise<Me | null> {
  const answer = await unwrap(api.POST("/api/v1/auth/login", { body: { username, password } }));
  return "next_step" in answer ? null : answer;
}

export async function sendCode(code: string): Promise<Me> {
  return unwrap(api.POST("/api/v1/auth/login/code", { body: { code } }));
}

/** Uses a reset link to set a new password, and logs in. Returns null if a second-factor code is required. */
export async function resetPassword(token: string, password: string): Promise<Me | null> {
  const answer = await unwrap(api.POST("/api/v1/auth/reset", { body: { token, password } }));
  return "next_step" in answer ? null : answer;
}

export const providersQuery = queryOptions({
  queryKey: ["login-providers"],
  staleTime: 5 * 60_000,
  queryFn: async (): Promise<LoginProvider[]> => unwrap(api.GET("/api/v1/auth/providers")),
});

/** Redirects the browser to the login provider. After the login, the browser returns to `next`. */
export async function goToProvider(provider: string, next: string): Promise<void> {
  const { location } = await unwrap(api.POST("/api/v1/auth/oidc/begin", { body: { provider, next } }));
  window.location.assign(location);
}
