package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"github.com/abilian/hop3/hop3"
)

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
		say(out, "       Volume %s is at %s", v.Name, v.Target)
	}
	return nil
}
