package manifest

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// ScalingFile is the name of a file that says how many instances of each
// process type run, one "web: 3" a line; "web=3" is understood too. It is that
// of Piku and Hop3 (Python).
const ScalingFile = "SCALING"

// LoadScaling reads the SCALING file of a directory; nil when there is none.
// Mistakes are one CodeInvalid error that names their lines.
func LoadScaling(fsys fs.FS) (map[string]int, error) {
	name, data, err := readFirst(fsys, ScalingFile)
	if err != nil || name == "" {
		return nil, err
	}
	counts := map[string]int{}
	var problems []string
	for i, line := range strings.Split(strings.TrimPrefix(string(data), "\ufeff"), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		kind, count, found := strings.Cut(line, ":")
		if !found {
			kind, count, found = strings.Cut(line, "=")
		}
		kind = strings.TrimSpace(kind)
		n, err := strconv.Atoi(strings.TrimSpace(count))
		if !found || err != nil || n < 0 || n > hop3.MaxInstances || hop3.ValidateProcessType(kind) != nil {
			problems = append(problems, fmt.Sprintf("line %d: expected '<type>: <count>' with a count from 0 to %d, found %q", i+1, hop3.MaxInstances, cut(line)))
			continue
		}
		counts[kind] = n
	}
	if len(problems) > 0 {
		return nil, hop3.Errorf(hop3.CodeInvalid, "Invalid %s:\n  - %s", ScalingFile, strings.Join(problems, "\n  - "))
	}
	return counts, nil
}

// Count lays the counts of a SCALING file over those of hop3.toml. Types that
// are not there are ignored, as the file may be older than the app.
func (m *Manifest) Count(counts map[string]int) {
	for i := range m.Processes {
		if n, ok := counts[m.Processes[i].Type]; ok && !slices.Contains([]string{hop3.ProcessStatic, hop3.ProcessCron}, m.Processes[i].Type) {
			m.Processes[i].Count = n
		}
	}
}
