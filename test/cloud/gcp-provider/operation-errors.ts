/** Errors of Compute's operations as the real provider prints them: messages and known details, and never a code. */
import { fieldsOf, listOf, textOf } from "./fields.ts";
import type { Fields } from "./fields.ts";

export function describeOperationErrors(errors: readonly unknown[]): string {
  return errors.map((error) => describeOperationError(fieldsOf(error))).join("\n");
}

function describeOperationError(error: Fields): string {
  const details = listOf(error["errorDetails"]).map(fieldsOf);
  const lines = [textOf(error["message"])];
  for (const detail of details) lines.push(...describeQuota(fieldsOf(detail["quotaInfo"])));
  const first = (name: string): Fields =>
    fieldsOf(details.map((detail) => detail[name]).find((value) => value !== undefined));
  const localized = textOf(first("localizedMessage")["message"]);
  if (localized !== "") lines.push("", "", localized);
  const link = fieldsOf(listOf(first("help")["links"])[0]);
  if (link["url"] !== undefined) lines.push("", "", textOf(link["description"]), textOf(link["url"]));
  return lines.join("\n");
}

function describeQuota(quota: Fields): readonly string[] {
  if (quota["metricName"] === undefined) return [];
  const dimensions = Object.entries(fieldsOf(quota["dimensions"])).map(
    ([key, value]) => `${key}:${textOf(value)}`,
  );
  return [
    `\tmetric name = ${textOf(quota["metricName"])}`,
    `\tlimit name = ${textOf(quota["limitName"])}`,
    `\tdimensions = map[${dimensions.join(" ")}]`,
  ];
}
