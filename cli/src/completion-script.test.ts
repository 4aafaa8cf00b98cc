import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { renderCompletion } from "./completion-script.ts";
import { createProgram } from "./program.ts";

type Shell = "bash" | "zsh" | "fish";

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "polaris-completion-"));
  for (const shell of ["bash", "zsh", "fish"] as const)
    await writeFile(join(folder, shell), renderCompletion(shell, createProgram()));
  await mkdir(join(folder, "files"));
  await mkdir(join(folder, "files/sub"));
  await writeFile(join(folder, "files/some.lock"), "");
});
after(() => rm(folder, { recursive: true, force: true }));

/** Why a shell cannot be asked here, or false. */
function missing(shell: Shell): string | false {
  return spawnSync(shell, ["--version"]).status === 0 ? false : `${shell} is not installed here`;
}

function run(command: Shell, args: readonly string[]): string[] {
  const { status, stdout, stderr } = spawnSync(command, args, {
    encoding: "utf8",
    cwd: join(folder, "files"),
  });
  assert.deepEqual([status, stderr], [0, ""]);
  return stdout.split("\n").filter((line) => line !== "");
}

/** What bash offers for a line of words, the last of which is being typed. */
function completeInBash(...words: readonly string[]): string[] {
  const program = `source "$1"; shift
    COMP_WORDS=("$@"); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _polaris
    if [ "\${#COMPREPLY[@]}" -gt 0 ]; then printf '%s\\n' "\${COMPREPLY[@]}"; fi`;
  return run("bash", ["--norc", "-c", program, "bash", join(folder, "bash"), ...words]);
}

/** What zsh offers, asked in the way in which its completion system asks scripts for bash. */
function completeInZsh(...words: readonly string[]): string[] {
  const program = `compdef() { : }; source "$1"; shift
    words=("$@"); CURRENT=$#; COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 ))
    compgen -F _polaris -- "\${words[CURRENT]}"`;
  const offered = run("zsh", ["-f", "-c", program, "zsh", join(folder, "zsh"), ...words]);
  // The prefix is matched by zsh itself.
  return offered.filter((word) => word.startsWith(words.at(-1) ?? ""));
}

function completeInFish(line: string): string[] {
  const offered = run("fish", [
    "--no-config",
    "-c",
    `source $argv[1]; complete -C $argv[2]`,
    join(folder, "fish"),
    line,
  ]);
  return offered.map((word) => word.split("\t")[0] ?? "").sort();
}

test("names every command and every flag that is not hidden, for each shell", () => {
  for (const shell of ["bash", "zsh", "fish"] as const) {
    const script = renderCompletion(shell, createProgram());
    for (const command of createProgram().commands) {
      assert.match(script, new RegExp(`\\b${command.name()}\\b`), shell);
      for (const option of command.options) {
        const name = option.long?.replace(/^--/, "") ?? "";
        const pattern = new RegExp(shell === "fish" ? `-l ${name}\\b` : `--${name}[ "]`);
        assert.equal(pattern.test(script), !option.hidden, `${shell}: ${command.name()} --${name}`);
      }
    }
    assert.ok(script.endsWith("\n"));
  }
});

test("is a script that bash can read", { skip: missing("bash") }, () => {
  assert.deepEqual(run("bash", ["-n", join(folder, "bash")]), []);
});

test("completes commands, subcommands, flags and arguments in bash", { skip: missing("bash") }, () => {
  assert.deepEqual(completeInBash("polaris", "de"), ["deploy", "destroy"]);
  assert.deepEqual(completeInBash("polaris", "u"), ["up", "unlock"]);
  assert.deepEqual(completeInBash("polaris", "config", ""), ["validate", "print", "schema", "--help"]);
  assert.deepEqual(completeInBash("polaris", "config", "print", "--st"), ["--stack"]);
  assert.deepEqual(completeInBash("polaris", "deploy", "--st"), ["--stack"]);
  assert.deepEqual(completeInBash("polaris", "deploy", "--stack", "dev", "--lo"), ["--locked"]);
  assert.deepEqual(completeInBash("polaris", "up", "--lo"), ["--locked"]);
  assert.deepEqual(completeInBash("polaris", "completion", "z"), ["zsh"]);
  assert.deepEqual(completeInBash("polaris", "nonsense", ""), []);
});

test("completes folders and files after the flags that take them in bash", { skip: missing("bash") }, () => {
  assert.deepEqual(completeInBash("polaris", "deploy", "-C", ""), ["sub"]);
  assert.deepEqual(completeInBash("polaris", "verify", "--lock", "so"), ["some.lock"]);
});

test("completes a subcommand's flags after a flag with a value in bash", { skip: missing("bash") }, () => {
  assert.deepEqual(completeInBash("polaris", "config", "print", "--stack", "dev", "--js"), ["--json"]);
});

test("completes commands, subcommands and flags in zsh", { skip: missing("zsh") }, () => {
  assert.deepEqual(completeInZsh("polaris", "de"), ["deploy", "destroy"]);
  assert.deepEqual(completeInZsh("polaris", "config", "va"), ["validate"]);
  assert.deepEqual(completeInZsh("polaris", "deploy", "--st"), ["--stack"]);
});

test("completes commands, subcommands, flags and arguments in fish", { skip: missing("fish") }, () => {
  assert.deepEqual(completeInFish("polaris de"), ["deploy", "destroy"]);
  assert.deepEqual(completeInFish("polaris config "), ["print", "schema", "validate"]);
  assert.deepEqual(completeInFish("polaris config print --st"), ["--stack"]);
  assert.deepEqual(completeInFish("polaris deploy --st"), ["--stack"]);
  assert.deepEqual(completeInFish("polaris completion "), ["bash", "fish", "zsh"]);
});
