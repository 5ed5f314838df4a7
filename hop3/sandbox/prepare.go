package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/cgroup"
)

// Spec says whose processes are started and what they see.
type Spec struct {
	App string
	// Group is their control group, as "apps/blog/12/web.1"; Capped is the
	// one above it, or the same, that Limits are set on: "apps/blog/12". No
	// process may be in a group that has others below it.
	Group, Capped string
	Limits        hop3.Limits
	// Weight is their share of a busy CPU; 0 means the default of 100. It
	// holds at every level down to Capped, so that with "builds/blog" all
	// builds together have it against all apps.
	Weight   int
	AppDir   string   // read-only; made the app's. Empty: no isolation
	Writable []string // made when missing, given to the app's user
	ReadOnly []string // other directories of the home they see
	// Volumes are mounted below Dir, which is in AppDir.
	Volumes []hop3.Volume
	Dir     string
}

// tmpDir is the app's /tmp, in its own directory.
const tmpDir = "tmp"

// Prepare makes a place ready: the group with its limits, the app's user, and
// the directories. It is cheap when it is ready already. The first directory
// of Writable is the home in the app's own /etc/passwd.
func (s *Sandbox) Prepare(spec Spec) (*Plan, error) {
	if s == nil {
		return &Plan{}, nil
	}
	p := &Plan{Group: spec.Group}
	if s.tree != nil && spec.Group != "" {
		if err := s.makeGroups(spec); err != nil {
			return nil, err
		}
		place := s.tree.Place(spec.Group)
		p.Place = &place
	}
	if s.isolation == nil && spec.AppDir != "" {
		return p, s.isolate(p, spec)
	}
	if len(spec.Volumes) > 0 {
		return nil, hop3.Errorf(hop3.CodeConflict, "the volume '%s' of type %s needs isolation: %s", spec.Volumes[0].Name, spec.Volumes[0].Kind, oneLine(s.Isolation()))
	}
	for _, dir := range spec.Writable {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("making a directory of %s: %w", spec.App, err)
		}
	}
	return p, nil
}

func (s *Sandbox) makeGroups(spec Spec) error {
	capped := spec.Capped
	if capped == "" {
		capped = spec.Group
	}
	if spec.Group != capped && !strings.HasPrefix(spec.Group, capped+"/") {
		return fmt.Errorf("the group %q is not below %q", spec.Group, capped)
	}
	// The innermost first: nobody removes those above it any more.
	err := s.tree.Make(capped, cgroup.Limits{
		Memory: spec.Limits.Memory, CPU: spec.Limits.CPU, Processes: spec.Limits.Processes, Weight: spec.Weight,
	})
	if err == nil && spec.Group != capped {
		err = s.tree.Make(spec.Group, cgroup.Limits{})
	}
	if spec.Weight == 0 {
		return err
	}
	for i, c := range capped {
		if c == '/' && err == nil {
			err = s.tree.Make(capped[:i], cgroup.Limits{Weight: spec.Weight})
		}
	}
	return err
}

// isolate gives the app its user and its directories, and fills in the plan.
func (s *Sandbox) isolate(p *Plan, spec Spec) error {
	appDir, err := s.inHome(spec.AppDir)
	if err != nil {
		return err
	}
	v := &View{Home: s.home, AppDir: appDir}
	if !isName(spec.App) {
		return fmt.Errorf("%q cannot name an app", spec.App)
	}
	uid, err := s.user(v.AppDir)
	if err != nil {
		return fmt.Errorf("giving '%s' a user of its own: %w", spec.App, err)
	}
	p.UID, p.GID, p.View = uid, uid, v
	v.Tmp = filepath.Join(v.AppDir, tmpDir)
	if err := s.makeDir(v.Tmp, dirOwner{os.Geteuid(), os.Getegid(), 0o1777}); err != nil {
		return fmt.Errorf("making the /tmp of '%s': %w", spec.App, err)
	}
	for _, dir := range spec.Writable {
		dir, err := s.inHome(dir)
		if err != nil {
			return err
		}
		if err := s.give(dir, uid); err != nil {
			return fmt.Errorf("giving %s to '%s': %w", dir, spec.App, err)
		}
		v.Writable = append(v.Writable, dir)
	}
	if err := s.openWay(v.AppDir, uid); err != nil {
		return fmt.Errorf("letting '%s' into its directory: %w", spec.App, err)
	}
	for _, dir := range spec.ReadOnly {
		dir, err := s.inHome(dir)
		if err != nil {
			return err
		}
		v.ReadOnly = append(v.ReadOnly, dir)
	}
	if v.Mounts, err = s.mounts(spec, uid); err != nil {
		return err
	}
	appHome := v.AppDir
	if len(v.Writable) > 0 {
		appHome = v.Writable[0]
	}
	v.Passwd, v.Group, err = s.writeUsers(spec.App, uid, appHome)
	return err
}

// inHome returns a directory by the home's real path. Others cannot be given
// to an app.
func (s *Sandbox) inHome(dir string) (string, error) {
	for _, home := range []string{s.given, s.home} {
		if rel, err := filepath.Rel(home, dir); err == nil && rel != "." && filepath.IsLocal(rel) {
			return filepath.Join(s.home, rel), nil
		}
	}
	return "", fmt.Errorf("%s is not in the home %s", dir, s.home)
}

// give makes a directory when it is missing and gives it, with all that is in
// it, to a user; nothing is done when it is the user's already.
func (s *Sandbox) give(dir string, uid int) error {
	if err := s.makeDir(dir, dirOwner{-1, -1, 0o755}); err != nil {
		return err
	}
	fd, err := s.open(dir)
	if err != nil {
		return err
	}
	defer closeFD(fd)
	return giveTree(fd, uid)
}

const trialProgram = "/bin/true"

// try finds out whether isolation works by doing it once.
func (s *Sandbox) try() error {
	dir := filepath.Join(s.home, "run", "sandbox", "trial")
	if err := s.makeDir(dir, dirOwner{-1, s.last, 0o750}); err != nil {
		return missingRights(err)
	}
	p := &Plan{UID: s.last, GID: s.last, View: &View{Home: s.home, AppDir: dir, Tmp: filepath.Join(dir, tmpDir)}}
	err := s.makeDir(p.View.Tmp, dirOwner{os.Geteuid(), os.Getegid(), 0o1777})
	if err == nil {
		p.View.Passwd, p.View.Group, err = s.writeUsers(".trial", s.last, "/")
	}
	if err != nil {
		return missingRights(err)
	}
	cmd := &exec.Cmd{Path: trialProgram, Args: []string{trialProgram}, Dir: dir}
	if err := p.Start(cmd); err != nil {
		return missingRights(err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("a trial process failed: %w", err)
	}
	return nil
}

// missingRights explains what a refusal of the kernel comes from.
func missingRights(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		if lacks := missingCapabilities(); len(lacks) > 0 {
			return fmt.Errorf("the server is not root and lacks %s", strings.Join(lacks, ", "))
		}
	case isUnknownCall(err):
		return fmt.Errorf("the kernel is too old, it must be Linux 5.12 or later: %w", err)
	}
	return err
}
