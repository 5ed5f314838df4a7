package docker

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// output keeps what is needed of a build's output to say why it failed.
type output struct {
	pulls bool // all it says is of a registry
	lines []string
	step  string // of the classic builder: the step under way
	said  string // the last line of it
}

const maxKept = 400

var (
	// Of BuildKit's plain progress: "#7 0.312 text", "#7 [2/3] RUN make",
	// "#7 ERROR: …", and at the end " > [2/3] RUN make:" above the step's last lines.
	stepOutput = regexp.MustCompile(`^#\d+ \d+\.\d+ (.*)$`)
	failedStep = regexp.MustCompile(`^ ?> (\[.*\] .*):$`)
	classic    = regexp.MustCompile(`^Step \d+/\d+ : (.*)$`)
	// What the classic builder adds to what a step said last.
	classicExit = regexp.MustCompile(`^Removing intermediate container |^The command '.*' returned a non-zero code: \d+$`)
	stepNoise   = regexp.MustCompile(`^-{3,}$|^#\d+ |^ERROR:|^Dockerfile:\d+$|^ ?>>> |^\s*\d+ \|`)
	prefix      = regexp.MustCompile(`^#\d+ (?:sha256:\S+ )?(?:\d+\.\d+ )?`)
)

func (o *output) add(line string) {
	line = strings.TrimPrefix(line, "       ")
	if m := classic.FindStringSubmatch(line); m != nil {
		o.step, o.said = m[1], ""
	} else if o.step != "" && strings.TrimSpace(line) != "" && !strings.HasPrefix(line, " --->") && (o.said == "" || !classicExit.MatchString(line)) {
		o.said = line
	}
	if o.lines = append(o.lines, line); len(o.lines) > maxKept {
		o.lines = slices.Delete(o.lines, 0, maxKept/2)
	}
}

// cause says in one line why the build failed: what the failed step said last,
// and which it was; else what the builder said last.
func (o *output) cause() string {
	for n, line := range slices.Backward(o.lines) {
		m := failedStep.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		said := ""
		for _, line := range o.lines[n+1:] {
			if strings.HasPrefix(line, "------") {
				break
			}
			if text := strings.TrimSpace(prefix.ReplaceAllString(line, "")); text != "" {
				said = text
			}
		}
		return join(m[1], cmp.Or(said, o.last(m[1])))
	}
	if o.step != "" && o.said != "" {
		return join(o.step, o.said)
	}
	for _, line := range slices.Backward(o.lines) {
		text := strings.TrimSpace(prefix.ReplaceAllString(line, ""))
		if text == "" || stepNoise.MatchString(text) && !strings.HasPrefix(text, "ERROR:") {
			continue
		}
		return strings.TrimSpace(strings.TrimPrefix(text, "ERROR:"))
	}
	return "it said nothing"
}

// last is the last line that a step of BuildKit's wrote, "" for none.
func (o *output) last(step string) string {
	number := ""
	for _, line := range o.lines {
		if own, text, _ := strings.Cut(line, " "); text == step && strings.HasPrefix(own, "#") {
			number = own
		}
	}
	for _, line := range slices.Backward(o.lines) {
		if m := stepOutput.FindStringSubmatch(line); m != nil && strings.HasPrefix(line, number+" ") && strings.TrimSpace(m[1]) != "" {
			return strings.TrimSpace(m[1])
		}
	}
	return ""
}

func join(step, said string) string {
	if said == "" {
		return step
	}
	return step + ": " + said
}

var (
	// fleeting are troubles of a registry, or of the way to it, that may be
	// over a moment later; only beside a word of registries.
	fleeting = regexp.MustCompile(`(?i)\b50[0234]\b|internal server error|bad gateway|service unavailable|gateway time-?out|tls handshake timeout|i/o timeout|connection reset|unexpected EOF|temporary failure in name resolution`)
	registry = regexp.MustCompile(`(?i)registry|pull|unexpected http status|manifest|load metadata|resolve source|docker\.io|ghcr\.io|quay\.io|auth\.|/v2/`)
	limited  = regexp.MustCompile(`(?i)too many requests|toomanyrequests|rate limit`)
)

// transient reports whether another attempt may succeed.
func (o *output) transient() bool {
	found := false
	for _, line := range o.lines[max(0, len(o.lines)-40):] {
		if limited.MatchString(line) {
			return false
		}
		if stepOutput.MatchString(line) {
			continue // what a command of the app says, which is run once
		}
		found = found || fleeting.MatchString(line) && (o.pulls || registry.MatchString(line))
	}
	return found
}

// noBuildKit is what a client of version 23 or later says without its plug-in
// buildx, which Debian has in a package of its own.
const noBuildKit = "buildx component is missing"

func (o *output) needsBuildx() bool {
	return slices.ContainsFunc(o.lines, func(l string) bool { return strings.Contains(l, noBuildKit) })
}

// tee gives what is written to out to o too.
func (o *output) tee(out hop3.Output) hop3.Output {
	return hop3.OutputFunc(func(line hop3.LogLine) {
		o.add(line.Text)
		out.Log(line)
	})
}
