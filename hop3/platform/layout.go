package platform

import (
	"fmt"
	"path/filepath"
	"strconv"
)

// The layout of the home (deployment reference §7.4). Releases have
// directories of their own; what an app must keep lies outside of them.

func (p *Platform) appsDir() string { return filepath.Join(p.Settings.Home, "apps") }

func (p *Platform) appDir(app string) string { return filepath.Join(p.appsDir(), app) }

func (p *Platform) releasesDir(app string) string { return filepath.Join(p.appDir(app), "releases") }

func (p *Platform) releaseDir(app string, number int) string {
	return filepath.Join(p.releasesDir(app), strconv.Itoa(number))
}

func (p *Platform) srcLink(app string) string { return filepath.Join(p.appDir(app), "src") }

// dataDir is what the app keeps: its HOME, and the only place besides its
// volumes and /tmp that it may write to.
func (p *Platform) dataDir(app string) string { return filepath.Join(p.appDir(app), "data") }

func (p *Platform) volumesDir(app string) string { return filepath.Join(p.appDir(app), "volumes") }

func (p *Platform) logDir(app string) string { return filepath.Join(p.appDir(app), "log") }

// LogDir is the directory of an app's logs.
func (p *Platform) LogDir(app string) string { return p.logDir(app) }

func (p *Platform) buildLog(app string) string { return filepath.Join(p.logDir(app), "build.log") }

func (p *Platform) cacheDir(app string) string { return filepath.Join(p.appDir(app), "cache") }

// destroyedPrefix marks a directory under apps that is being deleted. No app's
// name contains a dot.
const destroyedPrefix = ".destroyed."

func (p *Platform) destroyedDir(app string, number int) string {
	return filepath.Join(p.appsDir(), fmt.Sprintf("%s%s.%d", destroyedPrefix, app, number))
}
