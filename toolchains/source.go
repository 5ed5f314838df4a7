package toolchains

import (
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/abilian/hop3/hop3"
)

// source opens the app's files for reading. Links cannot lead out of them.
func source(b *hop3.Build) (src fs.FS, closeSource func(), err error) {
	root, err := os.OpenRoot(b.Source)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the source: %w", err)
	}
	return root.FS(), func() { root.Close() }, nil
}

// first returns the first of the files that src has.
func first(src fs.FS, names ...string) (string, bool) {
	for _, name := range names {
		if has(src, name) {
			return name, true
		}
	}
	return "", false
}

func has(src fs.FS, name string) bool {
	info, err := fs.Stat(src, name)
	return err == nil && info.Mode().IsRegular()
}

func hasDir(src fs.FS, name string) bool {
	info, err := fs.Stat(src, name)
	return err == nil && info.IsDir()
}

// maxRead is above any real lockfile.
const maxRead = 32 << 20

// read returns the text of a file, "" when there is none or it is absurdly
// large.
func read(src fs.FS, name string) string {
	info, err := fs.Stat(src, name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxRead {
		return ""
	}
	data, err := fs.ReadFile(src, name)
	if err != nil {
		return ""
	}
	return string(data)
}

// webless reports whether the manifest leaves it to the toolchain to say what
// answers the app's requests.
func webless(b *hop3.Build) bool {
	return !b.Options.Declares(hop3.ProcessWeb, hop3.ProcessWSGI, hop3.ProcessJWSGI, hop3.ProcessRWSGI, hop3.ProcessPHP, hop3.ProcessStatic)
}

func say(b *hop3.Build, format string, args ...any) {
	b.Out.Log(hop3.LogLine{Text: fmt.Sprintf(format, args...), Level: 1, Time: time.Now()})
}

// unlocked says that a later build of the same source may come out otherwise:
// in a warning, or, where the build is strict, in an error.
func unlocked(b *hop3.Build, format string, args ...any) error {
	if !b.Options.Strict {
		warn(b, format, args...)
		return nil
	}
	return hop3.Errorf(hop3.CodeDeploy, format, args...).
		WithHint("Builds are strict here ([build].strict of hop3.toml, or STRICT_BUILDS of the server): commit what fixes the versions.")
}

// noLock is unlocked for a lockfile that is missing.
func noLock(b *hop3.Build, file string) error {
	return unlocked(b, "there is no %s: a later build may get other versions", file)
}

func warn(b *hop3.Build, format string, args ...any) {
	b.Out.Log(hop3.LogLine{Text: "       Warning: " + fmt.Sprintf(format, args...), Level: 1, Color: "yellow", Time: time.Now()})
}
