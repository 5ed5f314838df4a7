package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// A command can be called by its name and with named parameters, too: "ps scale"
// is the method ps.scale with {"app": "blog", "args": ["web=2"]}. Its flags are
// parameters of their names; args are what has no name.

// argsParam is the parameter of positional arguments.
const argsParam = "args"

// Methods returns the methods that are commands, sorted.
func (c *Commands) Methods() []string {
	var names []string
	for name, cmd := range c.canonical() {
		if !cmd.Hidden {
			names = append(names, methodOf(name))
		}
	}
	slices.Sort(names)
	return names
}

func methodOf(name string) string { return strings.ReplaceAll(name, " ", ".") }

// byMethod returns the command of a method, nil when there is none.
func (c *Commands) byMethod(method string) *Command {
	if strings.Contains(method, " ") {
		return nil
	}
	return c.byName[strings.ReplaceAll(method, ".", " ")]
}

// Arguments returns the command line of a method's call: params is a JSON
// object, or nothing. Errors are hop3.Errors, and a *Mistake for a method that
// is none.
func (c *Commands) Arguments(method string, params json.RawMessage) ([]string, error) {
	cmd := c.byMethod(method)
	if cmd == nil {
		return nil, c.unknown(strings.Split(method, "."))
	}
	given := map[string]json.RawMessage{}
	if params = bytes.TrimSpace(params); len(params) > 0 && string(params) != "null" {
		if err := json.Unmarshal(params, &given); err != nil {
			return nil, hop3.Errorf(hop3.CodeInvalid, "The parameters of %s are an object.", method)
		}
	}
	line := strings.Fields(cmd.Name)
	var positional []string
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if name == argsParam {
			if err := json.Unmarshal(given[name], &positional); err != nil {
				problems = append(problems, errors.New("args is a list of strings"))
			}
			continue
		}
		f, ok := cmd.flag("--" + name)
		if !ok {
			problems = append(problems, fmt.Errorf("there is no %.40q", strings.ToValidUTF8(name, "?")))
			continue
		}
		words, err := flagWords(f, given[name])
		if err != nil {
			problems = append(problems, err)
		}
		line = append(line, words...)
	}
	if len(problems) > 0 {
		return nil, hop3.Errorf(hop3.CodeInvalid, "The parameters of %s: %s", method, strings.ReplaceAll(errors.Join(problems...).Error(), "\n", "; "))
	}
	// Whatever they look like, they are no flags.
	return append(append(line, "--"), positional...), nil
}

// flagWords writes a parameter as the flag it is.
func flagWords(f Flag, value json.RawMessage) ([]string, error) {
	if f.Value == "" {
		var on bool
		if err := json.Unmarshal(value, &on); err != nil {
			return nil, fmt.Errorf("%s is true or false", f.Name)
		}
		if !on {
			return nil, nil
		}
		return []string{"--" + f.Name}, nil
	}
	var all []string
	if json.Unmarshal(value, &all) != nil {
		var number json.Number
		var text string
		switch {
		case json.Unmarshal(value, &text) == nil:
		case json.Unmarshal(value, &number) == nil:
			text = number.String()
		default:
			return nil, fmt.Errorf("%s is a string or a list of strings", f.Name)
		}
		all = []string{text}
	}
	var words []string
	for _, v := range all {
		words = append(words, "--"+f.Name+"="+v)
	}
	return words, nil
}
