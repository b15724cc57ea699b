"""The parts of docs/man and completions/ that come from the program's own tables.

    manual.py IMPRINT-SYNC IMPRINT-MANUAL      writes them anew

A part of a page stands between the lines `.\\" [NAME]` and `.\\" [end]`; the completion is written whole.
"""

import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted((TOP / "docs/man").glob("*.[0-9]"))
COMPLETION = TOP / "completions/imprint-sync"
PART = re.compile(r'(^\.\\" \[(?!end\])(\w+)\][^\n]*\n)(.*?)(?=^\.\\" \[end\])', re.M | re.S)


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


# ---- the command table, as --help prints it ------------------------------------------------------

class Option:
    def __init__(self, short, name, argument):
        self.short, self.name, self.argument, self.help = short, name, argument, ""


class Command:
    def __init__(self, program, name, summary):
        self.name, self.summary = name, summary
        text = output(program, *name.split(), "--help")
        head, options = text.split("\noptions:\n")
        operand = re.search(r"\[OPTION\.\.\.\] \[(\w+)\.\.\.\]$", head.split("\n")[0])
        self.operand = operand[1] if operand else None  # words behind the options
        self.details = " ".join(head.split("\n\n", 1)[1].split("\n")[1:]).strip()
        self.options = read_options(options)


def read_options(text):
    options = []
    for line in text.rstrip("\n").split("\n"):
        match = re.match(r"  (?:(-\w), |    )--([a-z-]+)(?: (\S+))? +(.*)", line)
        if match:
            options.append(Option(match[1], match[2], match[3]))
            options[-1].help = match[4]
        else:
            options[-1].help += " " + line.strip()
    return options


def commands(program):
    listed = output(program, "--help").split("commands:\n")[1].split("\n\n")[0]
    return [Command(program, *re.match(r"  (\S+(?: \S+)*) {2,}(.*)", line).groups())
            for line in listed.split("\n")]


# ---- pages -------------------------------------------------------------------------------------

def prose(text):
    """Text lines of mdoc: one for each sentence, nothing that is read as a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = re.sub(r"`([^`]*)`", r"\\(oq\1\\(cq", text)
    text = text[:1].upper() + text[1:]
    return re.sub(r"(?<=[.]) (?=[A-Z])", "\n", text if text.endswith(".") else text + ".")


def flag(option):
    short = f"Fl {option.short[1:]} , " if option.short else ""
    return f"{short}Fl -{option.name}" + (f" Ar {option.argument}" if option.argument else "")


def option_list(options):
    items = [f".It {flag(option)}\n{prose(option.help)}\n" for option in options]
    return ".Bl -tag -width Ds\n" + "".join(items) + ".El\n"


def own(command):
    """The options of a command, without those that all take."""
    return [option for option in command.options if option.name not in ("config", "help")]


def command_list(listed):
    text = ".Bl -tag -width Ds\n"
    for command in listed:
        operand = f" Op Ar {command.operand} ..." if command.operand else ""
        text += f".It Ic {command.name}{operand}\n{prose(command.summary)}\n"
        text += f"{prose(command.details)}\n" if command.details else ""
        text += option_list(own(command)) if own(command) else ""
    return text + ".El\n"


def common(listed):
    return option_list([option for option in listed[0].options if option.name in ("config", "help")])


def parts(program, tables):
    """{name of a part: its text}"""
    listed = commands(program)
    return {"commands": command_list(listed), "common": common(listed),
            **{name: output(tables, name) for name in ("keys", "targets", "types", "options")}}


def filled(page, texts):
    """A page with its parts as they should be."""
    return PART.sub(lambda match: match[1] + texts[match[2]], page)


# ---- completion --------------------------------------------------------------------------------

def cases(rows):
    """Lines of a shell's case: pattern, words to print."""
    return "".join(f'        "{pattern}") echo "{" ".join(words)}" ;;\n' for pattern, words in rows)


def completion(program):
    listed = commands(program)
    names = [command.name.split() for command in listed]
    first = list(dict.fromkeys(words[0] for words in names))
    groups = dict.fromkeys(words[0] for words in names if len(words) > 1)
    both = [f"--{option.name}" for option in listed[0].options if option.name in ("config", "help")]
    arguments = sorted({(option.name, option.argument) for command in listed
                        for option in command.options if option.argument})
    files = [f"--{name}" for name, argument in arguments if argument == "FILE"]
    takers = [command.name for command in listed if command.operand == "FILE"]
    others = [f"--{name}" for name, argument in arguments if argument != "FILE"]
    words = cases([("", first)]
                  + [(group, [w[1] for w in names if w[0] == group and len(w) > 1]) for group in groups])
    options = cases([(command.name, [f"--{option.name}" for option in own(command)])
                     for command in listed if own(command)])
    return TEMPLATE.format(words=words, options=options, both=" ".join(both),
                           files="|".join(["-c", *files]), others="|".join(others),
                           takers="|".join(takers))


TEMPLATE = '''\
# shellcheck shell=bash
# Completion of imprint-sync for bash; written by the target `manual` from `imprint-sync --help`.

# What may follow a group of commands, or (empty) the program.
_imprint_sync_commands() {{
    case $1 in
{words}    esac
}}

_imprint_sync_options() {{
    case $1 in
{options}    esac
}}

# The command so far, from the words before the one to complete, into `command`.
_imprint_sync_command() {{
    local i word
    command=
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${{COMP_WORDS[i]}}
        case $word in
            =) ((i++)) ;;
            {files}|{others})
                [[ ${{COMP_WORDS[i + 1]-}} == = ]] || ((i++))
                ;;
            -*) ;;
            *) command=${{command:+$command }}$word ;;
        esac
    done
}}

_imprint_sync_files() {{
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$1")
}}

_imprint_sync() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} option=${{COMP_WORDS[COMP_CWORD - 1]}} command words
    COMPREPLY=()
    # --config=FILE is three words to bash.
    [[ $current != = ]] || current=
    [[ $option != = ]] || option=${{COMP_WORDS[COMP_CWORD - 2]}}
    [[ ${{COMP_WORDS[COMP_CWORD]}} != = ]] || option=${{COMP_WORDS[COMP_CWORD - 1]}}
    case $option in
        {files})
            _imprint_sync_files "$current"
            return
            ;;
        {others}) return ;;
    esac
    _imprint_sync_command
    if [[ $current != -* && ${{command%% *}} == @({takers}) ]]; then
        _imprint_sync_files "$current"
        return
    fi
    words=$(_imprint_sync_commands "$command")
    if [[ $current == -* || -z $words ]]; then
        words="$(_imprint_sync_options "$command") {both}"
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}}

complete -F _imprint_sync imprint-sync
'''


def main():
    program, tables = sys.argv[1:]
    texts = parts(program, tables)
    for page in PAGES:
        page.write_text(filled(page.read_text(), texts))
    COMPLETION.parent.mkdir(exist_ok=True)
    COMPLETION.write_text(completion(program))


if __name__ == "__main__":
    main()
