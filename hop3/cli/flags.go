package cli

import (
	"slices"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3/api"
)

// flags are the options that every command has, and the words that are left.
type flags struct {
	words     []string
	app       string
	context   string
	confirm   string
	json      bool
	yes       bool
	why       bool
	noAlias   bool
	noInput   bool
	dryRun    bool
	noPager   bool
	help      bool
	version   bool
	verbosity int
}

// switches are the options without a value.
var switches = map[string]func(*flags){
	"--json":     func(f *flags) { f.json = true },
	"-j":         func(f *flags) { f.json = true },
	"--yes":      func(f *flags) { f.yes = true },
	"-y":         func(f *flags) { f.yes = true },
	"--force":    func(f *flags) { f.yes = true },
	"--why":      func(f *flags) { f.why = true },
	"--no-alias": func(f *flags) { f.noAlias = true },
	"--no-input": func(f *flags) { f.noInput = true },
	"--no-pager": func(f *flags) { f.noPager = true },
	"--dry-run":  func(f *flags) { f.dryRun = true },
	"--help":     func(f *flags) { f.help = true },
	"-h":         func(f *flags) { f.help = true },
	"--version":  func(f *flags) { f.version = true },
	"-V":         func(f *flags) { f.version = true },
	"--quiet":    func(f *flags) { f.verbosity = 0 },
	"-q":         func(f *flags) { f.verbosity = 0 },
	"-qq":        func(f *flags) { f.verbosity = 0 },
	"--verbose":  func(f *flags) { f.verbosity = 2 },
	"-v":         func(f *flags) { f.verbosity = 2 },
	"-vv":        func(f *flags) { f.verbosity = 3 },
	"-vvv":       func(f *flags) { f.verbosity = 3 },
	"--debug":    func(f *flags) { f.verbosity = 2 },
	"-d":         func(f *flags) { f.verbosity = 2 },
	"-dd":        func(f *flags) { f.verbosity = 3 },
}

// values are the options with one.
var values = map[string]func(*flags, string){
	"--app":     func(f *flags, v string) { f.app = v },
	"-a":        func(f *flags, v string) { f.app = v },
	"--context": func(f *flags, v string) { f.context = v },
	"-c":        func(f *flags, v string) { f.context = v },
	"--confirm": func(f *flags, v string) { f.confirm = v },
}

// parseFlags takes the options out of args wherever they are, up to "--" or
// the command line of the program that `run` is about to run.
func parseFlags(args []string, getenv func(string) string) (flags, error) {
	f := flags{verbosity: 1, noInput: getenv("HOP3_NO_INPUT") == "1"}
	if n, err := strconv.Atoi(getenv("HOP3_VERBOSITY")); err == nil && n >= 0 && n <= 3 {
		f.verbosity = n
	}
	for len(args) > 0 {
		arg := args[0]
		if arg == "--" || inProgram(f.words, arg) {
			f.words = append(f.words, args...)
			break
		}
		args = args[1:]
		name, value, inline := strings.Cut(arg, "=")
		if _, own := match(forceOwn, f.words); own > 0 && arg == "--force" {
			f.words = append(f.words, arg)
			continue
		}
		if set := switches[arg]; set != nil {
			set(&f)
			continue
		}
		set := values[name]
		if set == nil {
			f.words = append(f.words, arg)
			if arg == "--input" && len(args) > 0 { // of `run`: its value is not the program
				f.words, args = append(f.words, args[0]), args[1:]
			}
			continue
		}
		if !inline {
			if len(args) == 0 {
				return f, exitf(api.ExitUsage, "%s needs a value", arg)
			}
			value, args = args[0], args[1:]
		}
		if value == "" {
			return f, exitf(api.ExitUsage, "%s needs a value", name)
		}
		set(&f, value)
	}
	return f, nil
}

// inProgram reports whether next, behind words, is the first word of the
// command line of a program.
func inProgram(words []string, next string) bool {
	if strings.HasPrefix(next, "-") {
		return false
	}
	words = slices.DeleteFunc(slices.Clone(words), func(w string) bool { return strings.HasPrefix(w, "-") })
	return len(words) >= 1 && (words[0] == "run" || words[0] == "ssh") || len(words) >= 2 && words[0] == "app" && words[1] == "run"
}

// option takes an option with a value out of the arguments of a local command.
func option(args []string, names ...string) (value string, rest []string, err error) {
	for i := 0; i < len(args); i++ {
		name, inlined, inline := strings.Cut(args[i], "=")
		switch {
		case !slices.Contains(names, name):
			rest = append(rest, args[i])
		case inline:
			value = inlined
		case i+1 == len(args):
			return "", nil, exitf(api.ExitUsage, "%s needs a value", name)
		default:
			i++
			value = args[i]
		}
	}
	return value, rest, nil
}

// toggle takes an option without a value out of the arguments.
func toggle(args []string, names ...string) (given bool, rest []string) {
	for _, a := range args {
		if slices.Contains(names, a) {
			given = true
		} else {
			rest = append(rest, a)
		}
	}
	return given, rest
}

// noMore refuses arguments that are left over.
func noMore(args []string) error {
	if len(args) == 0 {
		return nil
	}
	return exitf(api.ExitUsage, "Unrecognized argument(s): '%s'. Check the command's usage (run it with --help).", strings.Join(args, "', '"))
}
