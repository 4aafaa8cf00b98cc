import type { Command, Option } from "commander";

/** A command as a shell completes it: its words, and the flags and words that may follow. */
interface CompletedCommand {
  /** `["config", "validate"]` */
  readonly path: readonly string[];
  readonly description: string;
  readonly flags: readonly { readonly name: string; readonly description: string }[];
  readonly words: readonly string[];
}

/** The completion script of a shell, made from the command line itself: a new flag needs no second place. */
export function renderCompletion(shell: "bash" | "zsh" | "fish", program: Command): string {
  const commands = collectCommands(program, []);
  switch (shell) {
    case "bash":
      return renderBash(commands);
    case "zsh":
      // In a file of fpath this is the body of _polaris itself, which runs for the first time when it is asked.
      return `#compdef polaris
autoload -U +X bashcompinit && bashcompinit
${renderBash(commands)}if [ "\${funcstack[1]-}" = _polaris ]; then _bash_complete -F _polaris; fi
`;
    case "fish":
      return renderFish(commands);
  }
}

function collectCommands(command: Command, path: readonly string[]): CompletedCommand[] {
  const subcommands = command.commands.filter((sub) => sub.name() !== "help");
  const own: CompletedCommand = {
    path,
    description: command.description(),
    flags: command.options.filter((option) => !option.hidden).map(describeFlag),
    words: [
      ...subcommands.flatMap((sub) => [sub.name(), ...sub.aliases()]),
      ...command.registeredArguments.flatMap((argument) => argument.argChoices ?? []),
    ],
  };
  return [
    own,
    ...subcommands.flatMap((sub) =>
      [sub.name(), ...sub.aliases()].flatMap((name) => collectCommands(sub, [...path, name])),
    ),
  ];
}

function describeFlag(option: Option): { name: string; description: string } {
  return { name: option.long ?? option.short ?? option.flags, description: option.description };
}

/** For bash, and for zsh's imitation of it: hence no variable `path`, which is zsh's own, and no bare name in an offset. */
function renderBash(commands: readonly CompletedCommand[]): string {
  const cases = commands
    .map(({ path, flags, words }) => {
      const offered = [...words, ...flags.map((flag) => flag.name), "--help"].join(" ");
      return `    "${path.join(" ")}") offered="${offered}" ;;`;
    })
    .join("\n");
  return `# bash completion for polaris: source <(polaris completion bash)
_polaris() {
  local current="\${COMP_WORDS[COMP_CWORD]}" called="" word offered=""
  for word in "\${COMP_WORDS[@]:1:$((COMP_CWORD - 1))}"; do
    case "$word" in
      -*) ;;
      *) if [ -z "$called" ]; then called="$word"; elif [ "$called" = config ]; then called="$called $word"; fi ;;
    esac
  done
  case "\${COMP_WORDS[COMP_CWORD-1]}" in
    -C|--cwd) COMPREPLY=($(compgen -d -- "$current")); return ;;
    -c|--config|-o|--output|--lock) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  case "$called" in
${cases}
    *) offered="" ;;
  esac
  COMPREPLY=($(compgen -W "$offered" -- "$current"))
}
complete -F _polaris polaris
`;
}

function renderFish(commands: readonly CompletedCommand[]): string {
  const lines = ["# fish completion for polaris", "complete -c polaris -f"];
  for (const { path, description, flags, words } of commands) {
    const parent = path.slice(0, -1);
    const last = path.at(-1);
    if (last !== undefined)
      lines.push(`complete -c polaris -n ${seen(parent)} -a ${last} -d ${quote(description)}`);
    if (path.length > 0) {
      for (const flag of flags) {
        lines.push(
          `complete -c polaris -n ${seen(path)} -l ${flag.name.replace(/^-+/, "")} -d ${quote(flag.description)}`,
        );
      }
      const subcommands = commands
        .filter((command) => command.path.length > path.length)
        .map((command) => command.path.at(-1));
      for (const word of words.filter((offered) => !subcommands.includes(offered))) {
        lines.push(`complete -c polaris -n ${seen(path)} -a ${word}`);
      }
    }
  }
  return `${lines.join("\n")}\n`;
}

function seen(path: readonly string[]): string {
  if (path.length === 0) return "__fish_use_subcommand";
  return quote(path.map((word) => `__fish_seen_subcommand_from ${word}`).join("; and "));
}

function quote(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
