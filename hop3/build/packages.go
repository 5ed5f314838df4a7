package build

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const dpkgInfo = "/var/lib/dpkg/info"

var packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]*$`)

// warnPackages says which of the system packages the app wants are missing. A
// deploy never installs them.
func (b *building) warnPackages() {
	if _, err := os.Stat(dpkgInfo); err != nil {
		return
	}
	var missing []string
	for _, name := range b.request.Options.Packages {
		if !installed(name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		warn(b.out, "system packages are missing: apt-get install %s", strings.Join(missing, " "))
	}
}

func installed(name string) bool {
	if !packageName.MatchString(name) {
		return true // not a Debian package's name: nothing can be said
	}
	for _, pattern := range []string{name + ".list", name + ":*.list"} {
		if found, _ := filepath.Glob(filepath.Join(dpkgInfo, pattern)); len(found) > 0 {
			return true
		}
	}
	return false
}
