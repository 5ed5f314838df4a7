package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// settleVolumes finds out before the build whether a checkout can have the
// volumes, and returns them with what the server adds: the size of one in
// memory, the rights to one of the host.
func (p *Platform) settleVolumes(dir string, volumes []hop3.Volume) ([]hop3.Volume, error) {
	if err := p.checkVolumes(dir, volumes); err != nil {
		return nil, err
	}
	settled, memory := slices.Clone(volumes), int64(0)
	for i := range settled {
		v := &settled[i]
		if v.Mounted() && p.Settings.NotIsolated != nil {
			why, _, _ := strings.Cut(p.Settings.NotIsolated.Error(), "\n")
			return nil, hop3.Errorf(hop3.CodeConflict, "the volume '%s' of type %s needs apps that are isolated from each other, and here they are not: %s", v.Name, v.Kind, why).
				WithHint("Take it out of hop3.toml, or let the server's admin run the server as root.")
		}
		switch v.Kind {
		case hop3.VolumeTmpfs:
			if v.Size == 0 {
				v.Size = min(defaultTmpfs, p.Settings.TmpfsMax)
			}
			memory += v.Size
		case hop3.VolumeBind:
			rule, ok := hop3.AllowedBind(p.Settings.BindAllow, v.Source)
			if !ok {
				return nil, hop3.Errorf(hop3.CodeInvalid, "the volume '%s' is %s of the host, which this server does not let apps have", v.Name, v.Source).
					WithHint("The server's admin can allow it with VOLUMES_BIND_ALLOW.")
			}
			v.ReadOnly = v.ReadOnly || rule.ReadOnly
		}
	}
	if most := p.Settings.TmpfsMax; memory > most || hasTmpfs(settled) && most == 0 {
		return nil, hop3.Errorf(hop3.CodeInvalid, "the volumes of type tmpfs hold %s together, more than the %s that this server gives an instance", FormatBytes(memory), FormatBytes(most)).
			WithHint("Give them a smaller 'size' in hop3.toml, or let the server's admin raise VOLUMES_TMPFS_MAX.")
	}
	return settled, nil
}

// defaultTmpfs is the size of a volume in memory that names none.
const defaultTmpfs = 64 << 20

func hasTmpfs(volumes []hop3.Volume) bool {
	return slices.ContainsFunc(volumes, func(v hop3.Volume) bool { return v.Kind == hop3.VolumeTmpfs })
}

// mounted are the volumes that only the processes of a release see.
func mounted(volumes []hop3.Volume) []hop3.Volume {
	return slices.DeleteFunc(slices.Clone(volumes), func(v hop3.Volume) bool { return !v.Mounted() })
}

// checkVolumes finds out before the build whether each volume can have its
// place in a checkout: a directory is what the app ships for it, anything else
// would be lost.
func (p *Platform) checkVolumes(dir string, volumes []hop3.Volume) error {
	if len(volumes) == 0 {
		return nil
	}
	src, err := p.Files.Open(dir)
	if err != nil {
		return fmt.Errorf("opening the release's directory: %w", err)
	}
	for _, v := range volumes {
		words := strings.Split(v.Target, "/")
		for n := range words {
			part := path.Join(words[:n+1]...)
			info, err := fs.Lstat(src, part)
			if errors.Is(err, fs.ErrNotExist) {
				break
			}
			if err != nil || !info.IsDir() {
				return hop3.Errorf(hop3.CodeInvalid, "the volume '%s' of hop3.toml cannot be at %s: '%s' in the source is no directory", v.Name, v.Target, part).
					WithHint("Choose another target for it, or take what is there out of the repository.")
			}
		}
	}
	return nil
}

// attachVolumes gives a built release its volumes. What the first release has
// at a target, also from its build, is the volume's first content.
func (p *Platform) attachVolumes(r hop3.Release, a hop3.Artifact, volumes []hop3.Volume, out hop3.Output) error {
	for _, v := range volumes {
		if a.Container != nil && v.Mounted() {
			return hop3.Errorf(hop3.CodeInvalid, "the volume '%s' is of type %s, and containers have persistent ones only", v.Name, v.Kind)
		}
		if a.Container != nil { // mounted when it starts: see mounts
			if err := p.Files.MakeDir(filepath.Join(p.volumesDir(r.App), v.Name)); err != nil {
				return fmt.Errorf("making the volume '%s': %w", v.Name, err)
			}
			say(out, "       Volume %s is at %s", v.Name, path.Join(a.Container.WorkDir, v.Target))
			continue
		}
		if err := p.Files.Volume(p.volumesDir(r.App), p.releaseDir(r.App, r.Build), v); err != nil {
			return hop3.Errorf(hop3.CodeDeploy, "the volume '%s' could not be put at %s: %w", v.Name, v.Target, err).
				WithHint("The build may have made something else of what is there.")
		}
		say(out, "       Volume %s is at %s%s", v.Name, v.Target, whatIs(v))
	}
	return nil
}

// whatIs says where what an app writes to a volume goes.
func whatIs(v hop3.Volume) string {
	switch {
	case v.Kind == hop3.VolumeTmpfs:
		return fmt.Sprintf(", %s in memory for each instance", FormatBytes(v.Size))
	case v.Kind == hop3.VolumeBind && v.ReadOnly:
		return fmt.Sprintf(": the host's %s, read-only", v.Source)
	case v.Kind == hop3.VolumeBind:
		return fmt.Sprintf(": the host's %s", v.Source)
	}
	return ""
}
