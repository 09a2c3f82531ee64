-- The checksums of a model's files are stored once. Otherwise, changed files could be declared unchanged.

CREATE OR REPLACE TRIGGER files_stay BEFORE UPDATE OF files ON training_modelversion FOR EACH ROW
    WHEN (OLD.files IS NOT NULL AND OLD.files IS DISTINCT FROM NEW.files)
    EXECUTE FUNCTION rankloop_refuse_change();
