package toolchains

import (
	"io/fs"
	"regexp"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// asked is a version that an app asks for, and where it says so. The zero value
// asks for nothing.
type asked struct{ version, where string }

// versionWord is a version as the files of version managers have it: 3.2, v20,
// ruby-3.2.1, temurin-21.0.2+13, 1.15.7-otp-26.
var versionWord = regexp.MustCompile(`^(?:[a-z]+-)*v?(\d+(?:\.\d+)*)`)

// askedIn returns the version that one of the files names, or .tool-versions
// for the tool.
func askedIn(src fs.FS, tool string, files ...string) asked {
	for _, file := range files {
		if m := versionWord.FindStringSubmatch(strings.TrimSpace(read(src, file))); m != nil {
			return asked{m[1], file}
		}
	}
	for line := range strings.Lines(read(src, ".tool-versions")) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != tool {
			continue
		}
		if m := versionWord.FindStringSubmatch(words[1]); m != nil {
			return asked{m[1], ".tool-versions"}
		}
	}
	return asked{}
}

// is reports whether version begins with the numbers that are asked for, of
// which the first so many count.
func (a asked) is(version string, count int) bool {
	want, have := numbers(a.version), numbers(version)
	count = min(count, len(want))
	return len(have) >= count && compare(want[:count], have[:count]) == 0
}

// check compares what is asked for with the version that the server has. Two
// releases with the same first numbers, so many as count, run the same
// programs: a difference behind them is only told.
func (a asked) check(b *hop3.Build, language, have string, count int) error {
	switch {
	case a.version == "":
	case !a.is(have, count):
		return hop3.Errorf(hop3.CodeDeploy, "the app asks for %s %s (%s); this server has %s", language, a.version, a.where, have).
			WithHint("Install %s %s on the server, or change %s.", language, a.version, a.where)
	case !a.is(have, len(numbers(a.version))):
		warn(b, "%s asks for %s %s; using %s", a.where, language, a.version, have)
	}
	return nil
}

// missing says that a program is not on the server, and which package of Debian
// has it.
func missing(what, install string) error {
	return hop3.Errorf(hop3.CodeDeploy, "%s is not installed on this server", what).
		WithHint("On Debian and Ubuntu: apt-get install %s", install)
}

var versionClause = regexp.MustCompile(`^\s*(>=|<=|==|!=|~=|~>|\^|=|>|<)\s*v?(\d+(?:\.\d+)*)(\.\*)?\s*$`)

// allowed reports whether a version satisfies all clauses, such as ">=3.11,<4":
// those of Python, with "~>" as Ruby and Elixir write "~=", and "^" as PHP has
// it. A clause of another form is left to the language's own tools to judge.
func allowed(version, clauses string) bool {
	have := numbers(version)
	for _, clause := range strings.Split(clauses, ",") {
		m := versionClause.FindStringSubmatch(clause)
		if m == nil {
			continue
		}
		want := numbers(m[2])
		order := compare(have, want)
		prefix := compare(have[:min(len(have), len(want))], want) == 0
		ok := true
		switch m[1] {
		case ">=":
			ok = order >= 0
		case "<=":
			ok = order <= 0
		case ">":
			ok = order > 0
		case "<":
			ok = order < 0
		case "==", "=":
			ok = order == 0 || m[3] != "" && prefix
		case "!=":
			ok = order != 0 && (m[3] == "" || !prefix)
		case "^":
			ok = order >= 0 && have[0] == want[0]
		case "~=", "~>":
			series := want[:max(1, len(want)-1)]
			ok = order >= 0 && compare(have[:min(len(have), len(series))], series) == 0
		}
		if !ok {
			return false
		}
	}
	return true
}

func numbers(version string) []int {
	var out []int
	for _, part := range strings.Split(version, ".") {
		n, _ := strconv.Atoi(part)
		out = append(out, n)
	}
	return out
}

// compare orders versions; missing numbers are zeros.
func compare(a, b []int) int {
	for i := range max(len(a), len(b)) {
		var x, y int
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return x - y
		}
	}
	return 0
}
