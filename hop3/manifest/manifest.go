// Package manifest reads what an app declares about itself: hop3.toml,
// Procfile and app.json. It is strict, and reports every mistake of a file at once.
package manifest

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Manifest is what an app declares, hop3.toml over Procfile over app.json.
type Manifest struct {
	Builder     string // [build].builder; "" or "auto" leaves the choice to the server
	Deployer    string // [deploy].deployer; "" or "auto" likewise
	Keep        int    // [deploy].keep: releases whose files are kept; 0 leaves it to the server
	Build       hop3.BuildOptions
	BeforeBuild []string
	AfterBuild  []string
	// Processes are in the order of the files. The command of a static
	// process is a directory, that of a wsgi process a module and a callable.
	Processes []hop3.Process
	BeforeRun []string // run once before the processes start
	Release   []string // the Procfile's release line, run after BeforeRun
	// StartTimeout is how long the app may take to become ready; 0 means the
	// server's default.
	StartTimeout time.Duration
	Health       hop3.HealthCheck
	Env          hop3.EnvSection
	EnvFile      string   // the text of the file ENV: settings below those of users
	Domains      []string // [domains].list, normalized; "_" is every host
	// DomainsOverride makes Domains replace the hosts set by users.
	DomainsOverride bool
	Static          map[string]string // normalized URL prefix -> file or directory
	AllowHTTP       bool              // plain HTTP is not redirected to HTTPS
	HTTP            hop3.HTTPSettings // of [http], valid
	WAF             *hop3.WAF         // of [waf], valid; nil where it is not enabled
	Ports           []hop3.Port
	Limits          hop3.Limits
	// Scaling holds the process types whose number of instances follows the
	// load, or that sleep.
	Scaling map[string]hop3.Scaling
	// Cron is what runs at certain times, every entry with a name.
	Cron []hop3.CronEntry
	// Addons are the databases and other services that the app has. One
	// without a name is the app's own of its type.
	Addons []hop3.AddonRequest
	// Volumes are directories that all releases share.
	Volumes []hop3.Volume
	// Backup says when the app is backed up, and of what.
	Backup hop3.BackupPolicy
	// Admin and Probe are the accounts the app asks for; nil for none.
	Admin *hop3.AdminAccount
	Probe *hop3.ProbeAccount
	// PostDeploy runs once, after the app's first deploy that succeeded.
	PostDeploy []string
	// Unsupported is what is declared and has no effect on this server.
	Unsupported []Unsupported
	// Warnings are sentences for whoever deploys.
	Warnings []string

	counts map[string]int // of [scaling], until they are laid over Processes
}

// Unsupported is a section that is declared and has no effect on this server.
type Unsupported struct{ Section, Reason string }

// maxFile is far above any real manifest; it keeps a hostile one from costing
// memory.
const maxFile = 256 << 10

// Load reads the manifest of a source tree. All of its files are optional. Mistakes
// are one CodeInvalid error that lists them all.
func Load(fsys fs.FS) (*Manifest, error) {
	m := &Manifest{}
	procfile, procfileErr := loadProcfile(fsys)
	declared, tomlErr := loadTOML(fsys, m)
	app, appErr := loadAppJSON(fsys)
	counts, countsErr := LoadScaling(fsys)
	settings, envErr := loadEnvFile(fsys)
	if err := together(tomlErr, procfileErr, appErr, countsErr, envErr); err != nil {
		return nil, err
	}
	m.EnvFile = settings
	m.merge(declared, procfile, app)
	m.Count(counts)
	m.Build.Processes = m.Processes
	return m, nil
}

// loadEnvFile returns the text of the file ENV. A directory of that name is a
// virtual environment, and nothing to us.
func loadEnvFile(fsys fs.FS) (string, error) {
	const name = "ENV"
	if info, err := fs.Stat(fsys, name); err != nil || info.IsDir() {
		return "", nil
	}
	text, err := readLimited(fsys, name)
	return string(text), err
}

// together makes one error of those of several files.
func together(errs ...error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	var texts []string
	hint := ""
	for _, err := range errs {
		var one *hop3.Error
		if !errors.As(err, &one) || one.Code != hop3.CodeInvalid {
			return err // of the machine, not of the files
		}
		texts = append(texts, one.Message)
		hint = cmp.Or(hint, one.Hint)
	}
	all := hop3.Errorf(hop3.CodeInvalid, "%s", strings.Join(texts, "\n"))
	all.Hint = hint
	return all
}

// merge lays what hop3.toml declares over the Procfile, and both over app.json.
func (m *Manifest) merge(declared processes, procfile *procfile, app *appJSON) {
	entries := procfile.processes
	if declared.servesHTTP() {
		entries = entries.without(webTypes...)
	}
	m.Processes = entries.overlay(declared)
	if len(m.Cron) == 0 {
		m.Cron = procfile.cron
	} else if len(procfile.cron) > 0 {
		m.Warnings = append(m.Warnings, "the cron lines of the Procfile are not used: hop3.toml has cron entries, which replace them")
	}
	nameCron(m.Cron)
	if len(m.BeforeBuild) == 0 {
		m.BeforeBuild = procfile.hooks["prebuild"]
	}
	if len(m.AfterBuild) == 0 {
		m.AfterBuild = procfile.hooks["postbuild"]
	}
	if len(m.BeforeRun) == 0 {
		m.BeforeRun = procfile.hooks["prerun"]
	}
	m.Release = procfile.hooks["release"]
	app.under(m)
	m.Count(app.formation)
	m.scale()
}

// readFirst returns the first of the named files that exists, nil when none
// does.
func readFirst(fsys fs.FS, names ...string) (name string, data []byte, err error) {
	for _, name := range names {
		data, err := readLimited(fsys, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return name, data, err
	}
	return "", nil, nil
}

func readLimited(fsys fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, unreadable(name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, hop3.Errorf(hop3.CodeInvalid, "%s is not a file", name)
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, unreadable(name, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, unreadable(name, err)
	}
	if len(data) > maxFile {
		return nil, hop3.Errorf(hop3.CodeInvalid, "%s is larger than %d KiB", name, maxFile>>10)
	}
	return data, nil
}

// unreadable keeps the error of a missing file recognisable, as is one in a
// directory that is a file; any other one, such as a link that leads out of the
// source, is the app's mistake.
func unreadable(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return fs.ErrNotExist
	}
	return hop3.Errorf(hop3.CodeInvalid, "%s cannot be read: %w", name, err)
}
