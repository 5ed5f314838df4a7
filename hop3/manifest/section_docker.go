package manifest

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// readDocker reads [docker], for the builder of container images.
func readDocker(r *reading) {
	t := r.table.table("docker")
	if t == nil {
		return
	}
	o := &r.manifest.Build.Docker
	o.Port = int(t.integer("port", 1, 65535))
	o.Image = t.image("image")
	o.IgnoreCompose = t.flag("ignore-compose")
	if runtime := t.text("runtime"); runtime != "" && runtime != builderDocker {
		t.fail("runtime", "%q does not run images here: docker does", cut(runtime))
	}
	if args := t.table("build-args"); args != nil {
		o.BuildArgs = map[string]string{}
		args.rest(scalarShapes()...)
		for key := range args.values {
			value := args.scalar(key)
			if err := hop3.ValidateEnvKey(key); err != nil {
				args.fail(key, "%s", hop3.MessageOf(err))
			}
			o.BuildArgs[key] = value
		}
	}
	t.done()
	if b := r.manifest.Builder; b != "" && b != "auto" && b != builderDocker {
		r.noEffect("docker", fmt.Sprintf("no image is built: builder = %q", b))
	}
}

const builderDocker = "docker"

// imageName is a reference of an image. What of its grammar is left out here
// Docker refuses itself.
var imageName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}$`)

func (t *table) image(key string) string {
	name := t.text(key)
	if name != "" && (!imageName.MatchString(name) || strings.Contains(name, "..")) {
		t.fail(key, "%q is no image's name", cut(name))
	}
	return name
}
