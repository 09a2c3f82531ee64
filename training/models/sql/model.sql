-- Stored checksums can't be changed. Otherwise, changed files of a model could be passed off as unchanged.

CREATE OR REPLACE TRIGGER files_stay BEFORE UPDATE OF files ON training_modelversion FOR EACH ROW
    WHEN (OLD.files IS NOT NULL AND OLD.files IS DISTINCT FROM NEW.files)
    EXECUTE FUNCTION rankloop_refuse_change();
