import { queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type { Account, ApiToken, CreatedToken, Enrolment, TokenScope } from "@/api/types";

export const accountQuery = queryOptions({
  queryKey: ["account"],
  queryFn: async (): Promise<Account> => unwrap(api.GET("/api/v1/account/")),
});

export const tokensQuery = queryOptions({
  queryKey: ["account", "tokens"],
  queryFn: async (): Promise<ApiToken[]> => (await unwrap(api.GET("/api/v1/account/tokens/"))).results,
});

export interface NewToken {
  name: string;
  scopes: TokenScope[];
  expires_at: string | null;
  /** Required if the second factor is off. Otherwise, `code` is required. */
  password: string;
  code: string;
}

export async function createToken(wanted: NewToken): Promise<CreatedToken> {
  return unwrap(api.POST("/api/v1/account/tokens/", { body: wanted }));
}

export async function revokeToken(id: string): Promise<void> {
  await unwrap(api.DELETE("/api/v1/account/tokens/{id}", { params: { path: { id } } }));
}

export async function changePassword(current: string, fresh: string): Promise<void> {
  await unwrap(api.POST("/api/v1/account/password", { body: { current, new: fresh } }));
}

export async function logOutEverywhere(): Promise<void> {
  await unwrap(api.POST("/api/v1/auth/logout/everywhere"));
}

export async function beginSecondFactor(password: string): Promise<Enrolment> {
  return unwrap(api.POST("/api/v1/account/second-factor", { body: { password } }));
}

/** Enables the second factor. Returns the recovery codes, which the server does not return again. */
export async function confirmSecondFactor(code: string): Promise<string[]> {
  const answer = await unwrap(api.POST("/api/v1/account/second-factor/confirm", { body: { code } }));
  return answer.recovery_codes;
}

export async function disableSecondFactor(code: string): Promise<void> {
  await unwrap(api.POST("/api/v1/account/second-factor/disable", { body: { code } }));
}

export async function replaceRecoveryCodes(code: string): Promise<string[]> {
  const answer = await unwrap(api.POST("/api/v1/account/recovery-codes", { body: { code } }));
  return answer.recovery_codes;
}
