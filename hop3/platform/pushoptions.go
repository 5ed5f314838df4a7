package platform

import (
	"fmt"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/manifest"
)

// The options of git push -o.
const (
	optionEnv      = "env" // env=KEY=VALUE
	optionNoSwitch = "no-switch"
	optionPreview  = "preview"
	optionCanary   = "canary" // or canary=10% for 5m
)

var knownOptions = []string{optionEnv, optionCanary, optionNoSwitch, optionPreview}

// pushOptions are what the pusher asked for with -o.
type pushOptions struct {
	env      hop3.Env
	noSwitch bool
	preview  bool
	canary   *hop3.Canary
}

// any reports whether anything was asked for.
func (o pushOptions) any() bool { return len(o.env) > 0 || o.noSwitch || o.preview || o.canary != nil }

// pushOptions reads the options of a push and reports all that is wrong with
// them at once.
func (p *Platform) pushOptions(options []string) (pushOptions, error) {
	o := pushOptions{env: hop3.Env{}}
	var problems []string
	for _, option := range options {
		name, value, hasValue := strings.Cut(option, "=")
		key, val, pair := strings.Cut(value, "=")
		switch {
		case name == optionEnv && pair:
			o.env[key] = val
		case name == optionEnv:
			problems = append(problems, "the push option env wants a variable: git push -o env=KEY=VALUE")
		case name == optionCanary:
			canary, err := CanaryFlag(value)
			if o.canary = canary; err != nil {
				problems = append(problems, "the push option canary: "+hop3.MessageOf(err))
			}
		case slices.Contains(knownOptions, name) && hasValue:
			problems = append(problems, "the push option "+name+" takes no value")
		case name == optionNoSwitch:
			o.noSwitch = true
		case name == optionPreview:
			o.preview = true
		default:
			problems = append(problems, unknownOption(name))
		}
	}
	if o.canary != nil && o.noSwitch {
		problems = append(problems, "the push options canary and no-switch exclude each other: a canary serves")
	}
	if err := p.checkEnv(o.env); err != nil {
		problems = append(problems, hop3.MessageOf(err))
	}
	if len(problems) == 0 {
		return o, nil
	}
	return o, hop3.Errorf(hop3.CodeInvalid, "%s", joinLines(problems))
}

func unknownOption(name string) string {
	text := "there is no push option " + fmt.Sprintf("%.40q", name)
	if near := manifest.Closest(name, knownOptions); near != "" {
		text += ", did you mean " + fmt.Sprintf("%q", near) + "?"
	}
	return text + " There are: env=KEY=VALUE, " + strings.Join(knownOptions[1:], ", ")
}
