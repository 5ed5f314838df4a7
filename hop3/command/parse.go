package command

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// appFlag is understood by every command that takes an app.
var appFlag = Flag{Name: "app", Short: "a", Value: "NAME"}

// appFlagLen returns how many of the first args are an --app flag.
func appFlagLen(args []string) int {
	switch {
	case len(args) == 0:
		return 0
	case strings.HasPrefix(args[0], "--app="):
		return 1
	case (args[0] == "--app" || args[0] == "-a") && len(args) > 1:
		return 2
	default:
		return 0
	}
}

// parse sorts args into flags and positional arguments.
func (c *Call) parse(cmd *Command, args []string) error {
	c.flags = make(map[string][]string)
	var unknown []string
	for len(args) > 0 {
		arg := args[0]
		if arg == "--" {
			c.Args = append(c.Args, args[1:]...)
			break
		}
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			if cmd.Program {
				c.Args = args
				break
			}
			c.Args = append(c.Args, arg)
			args = args[1:]
			continue
		}
		flag, used, err := c.parseFlag(cmd, args)
		if err != nil {
			return err
		}
		if flag == "" {
			unknown = append(unknown, arg)
		}
		args = args[used:]
	}
	return c.check(cmd, unknown)
}

// parseFlag takes one flag from args and returns its name, or "" when the
// command has none of that name, and how many args it used.
func (c *Call) parseFlag(cmd *Command, args []string) (name string, used int, err error) {
	word, value, inline := strings.Cut(args[0], "=")
	f, ok := cmd.flag(word)
	switch {
	case !ok:
		return "", 1, nil
	case f.Value == "" && inline:
		return "", 0, hop3.Errorf(hop3.CodeInvalid, "--%s takes no value", f.Name)
	case f.Value == "", f.Optional && !inline:
		used = 1
	case inline:
		used = 1
	case len(args) < 2:
		return "", 0, hop3.Errorf(hop3.CodeInvalid, "--%s needs a value: %s", f.Name, f.Value)
	default:
		value, used = args[1], 2
	}
	c.flags[f.Name] = append(c.flags[f.Name], value)
	if f.Name == appFlag.Name {
		c.App = value
	}
	return f.Name, used, nil
}

func (c *Command) flag(word string) (Flag, bool) {
	flags := c.Flags
	if c.App != NoApp {
		flags = append([]Flag{appFlag}, flags...)
	}
	for _, f := range flags {
		if word == "--"+f.Name || f.Short != "" && word == "-"+f.Short {
			return f, true
		}
	}
	return Flag{}, false
}

func (c *Call) check(cmd *Command, unknown []string) error {
	if cmd.Max != Any && len(c.Args) > cmd.Max {
		unknown = append(unknown, c.Args[cmd.Max:]...)
	}
	if len(unknown) > 0 && !cmd.Lenient {
		return unrecognized(cmd, c.App, unknown)
	}
	if len(c.Args) < cmd.Min {
		return cmd.usage()
	}
	if cmd.App == NeedsApp && c.App == "" {
		return hop3.Errorf(hop3.CodeInvalid, "Which app? Give --app NAME.").WithHint("Usage: %s", cmd.Line())
	}
	return nil
}

// unrecognized is the error of a call that gave too much.
func unrecognized(cmd *Command, app string, args []string) error {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = fmt.Sprintf("'%.80s'", strings.ToValidUTF8(a, "?"))
	}
	err := hop3.Errorf(hop3.CodeInvalid, "Unrecognized argument(s): %s. Check the command's usage (run it with --help).", strings.Join(quoted, ", "))
	// Older versions took the app's name as an argument.
	if cmd.App != NoApp && app == "" && len(args) == 1 && hop3.ValidateAppName(args[0]) == nil {
		return err.WithHint("To name the app, use --app %s.", args[0])
	}
	return err
}

// number returns the value of a flag as a number from 1 to most.
func (c *Call) number(flag string, standard, most int) (int, error) {
	s := c.Value(flag)
	if s == "" {
		return standard, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, hop3.Errorf(hop3.CodeInvalid, "--%s wants a number of 1 or more, not %.40q", flag, s)
	}
	return min(n, most), nil
}
