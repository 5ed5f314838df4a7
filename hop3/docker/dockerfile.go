package docker

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// dockerfile is what is read of a Dockerfile before it is built:
// https://docs.docker.com/reference/dockerfile/.
type dockerfile struct {
	// unpinned are the base images that may be others tomorrow, as they are
	// written.
	unpinned []string
	// expose is the first port of the last stage that is a number.
	expose int
}

var variable = regexp.MustCompile(`\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})`)

// parseDockerfile reads what matters here and leaves the rest, mistakes too, to
// Docker. args are the values of ARGs.
func parseDockerfile(text string, args map[string]string) dockerfile {
	var d dockerfile
	var stages []string // those with a name
	begun := false
	values := map[string]string{}
	for _, words := range instructions(text) {
		switch strings.ToUpper(words[0]) {
		case "ARG":
			if name, value, _ := strings.Cut(words[1], "="); !begun {
				values[name] = strings.Trim(value, `"'`)
				if given, ok := args[name]; ok {
					values[name] = given
				}
			}
		case "FROM":
			words = slices.DeleteFunc(words[1:], func(w string) bool { return strings.HasPrefix(w, "--") })
			if len(words) == 0 {
				continue
			}
			image := expand(words[0], values)
			if image == "" {
				image = words[0] // of an ARG without a value
			}
			if !slices.Contains(stages, strings.ToLower(image)) && image != "scratch" && !strings.Contains(image, "@sha256:") &&
				!slices.Contains(d.unpinned, image) {
				d.unpinned = append(d.unpinned, image)
			}
			if len(words) > 2 && strings.EqualFold(words[1], "as") {
				stages = append(stages, strings.ToLower(words[2]))
			}
			begun, d.expose = true, 0
		case "EXPOSE":
			for _, port := range words[1:] {
				number, protocol, _ := strings.Cut(port, "/")
				if n, err := strconv.Atoi(number); err == nil && d.expose == 0 && (protocol == "" || strings.EqualFold(protocol, "tcp")) {
					d.expose = n
				}
			}
		}
	}
	return d
}

// expand puts the values of ARGs into the name of an image.
func expand(image string, values map[string]string) string {
	return variable.ReplaceAllStringFunc(image, func(match string) string {
		part := variable.FindStringSubmatch(match)
		if value := values[part[1]+part[2]]; value != "" {
			return value
		}
		return part[3]
	})
}

// heredoc begins a text that is no instruction, up to a line with its word.
var heredoc = regexp.MustCompile(`<<-?["']?([A-Za-z_][A-Za-z0-9_]*)["']?`)

// instructions returns the words of each instruction of at least two words,
// its continued lines joined.
func instructions(text string) (all [][]string) {
	line, ends := "", ""
	for part := range strings.Lines(text) {
		part = strings.TrimSpace(part)
		switch {
		case ends != "":
			if part == ends {
				ends = ""
			}
			continue
		case strings.HasPrefix(part, "#"), part == "" && line != "":
			continue
		}
		if rest, more := strings.CutSuffix(part, `\`); more {
			line += rest + " "
			continue
		}
		line += part
		if words := strings.Fields(line); len(words) > 1 {
			all = append(all, words)
			if begins := heredoc.FindStringSubmatch(line); begins != nil {
				ends = begins[1]
			}
		}
		line = ""
	}
	return all
}
