package store

import (
	"encoding/json"
	"fmt"

	"github.com/abilian/hop3/hop3"
)

// appSpec is the part of an app that no query asks for, as JSON. It holds
// secrets, and is sealed as a whole.
type appSpec struct {
	Source     string        `json:"source,omitempty"`
	Webhook    *hop3.Webhook `json:"webhook,omitempty"`
	Previews   bool          `json:"previews,omitempty"`
	PreviewEnv hop3.Env      `json:"preview_env,omitempty"`
	Preview    *hop3.Preview `json:"preview,omitempty"`

	HTTP        hop3.HTTPSettings `json:"http,omitempty"`
	Maintenance *hop3.Maintenance `json:"maintenance,omitempty"`
}

func (db *DB) sealSpec(app hop3.App) (string, error) {
	text, err := json.Marshal(appSpec{
		Source: app.Source, Webhook: app.Webhook, Previews: app.Previews, PreviewEnv: app.PreviewEnv, Preview: app.Preview,
		HTTP: app.HTTP, Maintenance: app.Maintenance,
	})
	return db.seal.seal(specPlace(app.Name), string(text)), err
}

// openSpec reads the spec; that of an app from before there was one is empty.
func (db *DB) openSpec(app *hop3.App, value string) error {
	if value == "" {
		return nil
	}
	var s appSpec
	text, err := db.seal.open(specPlace(app.Name), value)
	if err == nil {
		err = json.Unmarshal([]byte(text), &s)
	}
	if err != nil {
		return fmt.Errorf("reading the spec of app %s: %w", app.Name, err)
	}
	app.Source, app.Webhook, app.Previews, app.PreviewEnv, app.Preview = s.Source, s.Webhook, s.Previews, s.PreviewEnv, s.Preview
	app.HTTP, app.Maintenance = s.HTTP, s.Maintenance
	return nil
}

// specPlace names the place of an app's sealed spec.
func specPlace(app string) string { return appPlace(app) + "/spec" }
