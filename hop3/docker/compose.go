package docker

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/abilian/hop3/hop3"
)

// composeFiles are the names of a compose file, the one that counts first.
var composeFiles = []string{"docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml"}

const maxCompose = 256 << 10

// checkCompose refuses a source whose compose file has several services: the
// app is all of them, and a release is one image. It returns the name of a
// file that is not used.
func checkCompose(src fs.FS) (unused string, err error) {
	for _, name := range composeFiles {
		info, err := fs.Stat(src, name)
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxCompose {
			continue
		}
		text, err := fs.ReadFile(src, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", hop3.Errorf(hop3.CodeInvalid, "%s cannot be read: %w", name, err)
		}
		var file struct {
			Services map[string]yaml.Node `yaml:"services"`
		}
		if err := yaml.Unmarshal(text, &file); err != nil {
			return "", hop3.Errorf(hop3.CodeInvalid, "%s cannot be read: %s", name, oneLine(err.Error()))
		}
		if len(file.Services) > 1 {
			names := make([]string, 0, len(file.Services))
			for service := range file.Services {
				names = append(names, service)
			}
			slices.Sort(names)
			return "", hop3.Errorf(hop3.CodeInvalid, "%s has several services (%s), and a release here is one image", name, strings.Join(names, ", ")).
				WithHint("Deploy each of them as an app of its own. If the file is not for this server, say ignore-compose = true in the [docker] section of hop3.toml.")
		}
		return name, nil
	}
	return "", nil
}
