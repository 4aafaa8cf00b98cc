import { createHash } from "node:crypto";
import type { Api } from "./api.ts";
import { badRequest } from "./google-error.ts";
import type { World } from "./world.ts";

interface LogEntry {
  readonly logName?: string;
  readonly resource?: { readonly type?: string; readonly labels?: Readonly<Record<string, string>> };
  readonly severity?: string;
  readonly timestamp?: string;
  readonly insertId?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly textPayload?: string;
  readonly jsonPayload?: unknown;
}

interface WriteRequest extends LogEntry {
  readonly entries?: readonly LogEntry[];
  readonly dryRun?: boolean;
}

interface ListRequest {
  readonly resourceNames?: readonly string[];
  readonly filter?: string;
  readonly orderBy?: string;
  readonly pageSize?: number;
  readonly pageToken?: string;
}

const MAX_ENTRIES = 10_000;
const DEFAULT_PAGE_SIZE = 50;
const MAX_PAGE_SIZE = 1000;

/** Log entries of machines (logging v2): what they write, and what a person reads. */
export function createLogging(world: World): Api {
  const stored: { readonly projectId: string; readonly entry: LogEntry }[] = [];

  function projectIdOf(name: string): string {
    const id = /^projects\/([^/]+)/.exec(name)?.[1];
    if (id === undefined) throw badRequest(`Invalid resource name: ${name.slice(0, 100)}`);
    return world.project(id).projectId;
  }

  return {
    name: "logging",
    title: "Cloud Logging API",
    documents: ["logging.v2.json"],
    handlers: {
      "logging.entries.write": ({ body, caller, now }) => {
        const { entries = [], dryRun = false, ...shared } = body as WriteRequest;
        const accepted = entries.map((entry) => {
          const { logName = "", resource } = { ...shared, ...entry };
          if (!/^projects\/[^/]+\/logs\/[^/]{1,512}$/.test(logName)) {
            throw badRequest(`Invalid log name: ${logName.slice(0, 100)}`, "log_name");
          }
          if (resource?.type === undefined)
            throw badRequest("A monitored resource must be specified.", "resource");
          const projectId = projectIdOf(logName);
          world.requirePermission(caller, "logging.logEntries.create", `projects/${projectId}`);
          const timestamp = entry.timestamp ?? new Date(now()).toISOString();
          const insertId =
            entry.insertId ??
            createHash("sha256").update(`${stored.length} ${timestamp}`).digest("hex").slice(0, 16);
          return {
            projectId,
            entry: { ...shared, ...entry, timestamp, insertId, receiveTimestamp: timestamp },
          };
        });
        if (!dryRun) stored.push(...accepted);
        stored.splice(0, stored.length - MAX_ENTRIES);
        return {};
      },
      "logging.entries.list": ({ body, caller }) => {
        const { resourceNames = [], filter = "", orderBy, pageSize, pageToken } = body as ListRequest;
        if (resourceNames.length === 0)
          throw badRequest("At least one resource name is required.", "resource_names");
        const projects = new Set(resourceNames.map(projectIdOf));
        for (const id of projects)
          world.requirePermission(caller, "logging.logEntries.list", `projects/${id}`);
        const matches = compileFilter(filter);
        const found = stored.filter(({ projectId, entry }) => projects.has(projectId) && matches(entry));
        if (orderBy === "timestamp desc") found.reverse();
        const start = Number(pageToken ?? 0);
        const end = start + Math.min(pageSize || DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE);
        return {
          entries: found.slice(start, end).map(({ entry }) => entry),
          ...(end < found.length ? { nextPageToken: String(end) } : {}),
        };
      },
    },
  };
}

/**
 * Clauses of the query language joined by AND: `field = "text"`, and `timestamp` and `severity` with an order.
 *
 * @throws {GoogleError} INVALID_ARGUMENT for all that is more than that
 */
function compileFilter(filter: string): (entry: LogEntry) => boolean {
  const clauses = filter
    .split(/\s+AND\s+|\n/)
    .map((clause) => clause.trim())
    .filter((clause) => clause !== "")
    .map((clause) => {
      const [, path, operator, quoted, bare] =
        /^([\w."-]+?)\s*(=|>=|<=|>|<|:)\s*(?:"([^"]*)"|([\w.:/-]+))$/.exec(clause) ?? [];
      if (path === undefined || operator === undefined)
        throw badRequest(`Unparseable filter: ${clause}`, "filter");
      return { path: path.replaceAll('"', "").split("."), operator, expected: quoted ?? bare ?? "" };
    });
  return (entry) =>
    clauses.every(({ path, operator, expected }) => {
      const value = path.reduce<unknown>(
        (at, key) => (at as Readonly<Record<string, unknown>> | undefined)?.[key],
        entry,
      );
      return compare(typeof value === "string" ? value : "", operator, expected, path[0] ?? "");
    });
}

const SEVERITIES = [
  "DEFAULT",
  "DEBUG",
  "INFO",
  "NOTICE",
  "WARNING",
  "ERROR",
  "CRITICAL",
  "ALERT",
  "EMERGENCY",
];

function compare(value: string, operator: string, expected: string, field: string): boolean {
  if (operator === "=") return value === expected;
  if (operator === ":") return value.includes(expected);
  const rank = (text: string): number =>
    field === "severity" ? SEVERITIES.indexOf(text === "" ? "DEFAULT" : text) : Date.parse(text);
  const difference = rank(value) - rank(expected);
  if (operator === ">=") return difference >= 0;
  if (operator === "<=") return difference <= 0;
  return operator === ">" ? difference > 0 : difference < 0;
}
