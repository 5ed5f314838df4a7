package platform

import (
	"io/fs"
	"slices"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/manifest"
)

// CheckConfig reads what a source declares as a deploy to this server would,
// without one. All that is wrong is in the error.
func (p *Platform) CheckConfig(src fs.FS) (*manifest.Manifest, error) {
	m, err := manifest.Load(src)
	if err != nil {
		return nil, err
	}
	_, limits := p.limits(m.Limits, hop3.Discard)
	var problems []string
	for _, err := range []error{limits, p.checkBuilder(m.Builder), checkCron(m.Cron, m.Env.Defaults.Merge(m.Env.Static)), p.checkHosts(m.Domains)} {
		if err != nil {
			problems = append(problems, hop3.MessageOf(err))
		}
	}
	if len(problems) > 0 {
		return nil, hop3.Errorf(hop3.CodeInvalid, "%s", joinLines(problems))
	}
	return m, nil
}

// checkBuilder reports a builder that this server does not have.
func (p *Platform) checkBuilder(name string) error {
	var names []string
	for _, b := range p.Builders() {
		names = append(names, b.Name())
	}
	if name == "" || name == "auto" || slices.Contains(names, name) {
		return nil
	}
	return noBuilder(name, names)
}

// MigrateProcfile writes a Procfile as a hop3.toml.
func (*Platform) MigrateProcfile(text string) (string, error) { return manifest.MigrateProcfile(text) }

// ConfigSchema describes hop3.toml in the words of JSON Schema.
func (*Platform) ConfigSchema() []byte { return manifest.Schema() }
